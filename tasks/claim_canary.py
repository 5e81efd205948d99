"""The canary: this host's worker shows that it claims what is rung."""

from __future__ import annotations

from celery import Celery

from bridge.adapters.metrics import canary
from bridge.bootstrap import Container
from bridge.ports.gateway import Ring
from bridge.ports.tasks import TaskName, host_queue
from tasks.base import BridgeTask


def ask_canaries(container: Container, host: str | None = None) -> int:
    """Ask every host that is seen, or this one, to show that it claims what is rung; how many."""
    hosts = container.hosts.ask_canaries(host)
    container.gateway.ring([Ring(TaskName.HOST_CANARY, host_queue(name), "", name) for name in hosts])
    return len(hosts)


def register(app: Celery) -> None:
    """The task that each host's worker is asked for."""

    @app.task(name=TaskName.HOST_CANARY.value, base=BridgeTask, bind=True)
    def host_canary(self: BridgeTask, workspace_id: str, host: str) -> str:
        del workspace_id  # a host belongs to none
        took_s = self.scope.container.hosts.claim_canary(host)
        if took_s is None:
            return "nobody asked"
        canary.labels(host).set(took_s)
        return "claimed"
