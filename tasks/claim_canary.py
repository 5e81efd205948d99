"""The canary: this host's worker shows that it claims what is rung."""

from __future__ import annotations

from celery import Celery

from bridge.adapters.metrics import canary
from bridge.ports.tasks import TaskName
from tasks.base import BridgeTask


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
