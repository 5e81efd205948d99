"""The Celery app: options, tasks, the steps of a worker, signals.

Rules of this file:

- Early acks, no results, JSON, listed queues, a bounded wait on every socket.
- A worker connects again for ever; while it cannot, its standby carries out what is due.
- Whoever would work on a broker or a database that may lose what it took ends at once, and says why.
"""

from __future__ import annotations

from typing import Any

import structlog
from celery import Celery, bootsteps, signals

from bridge.adapters.celery_options import (
    BrokerRefused,
    check_broker,
    common_options,
    transport_options,
)
from bridge.adapters.logs import configure_logs
from bridge.bootstrap import Unsafe
from bridge.config import Settings
from bridge.core.errors import BridgeError
from bridge.ports.tasks import ROUTES
from tasks import claim_canary, deliver_wake, run_tick
from tasks.base import Scope, scope_of
from tasks.beat import beat_schedule
from tasks.figures import FiguresStep
from tasks.host import HostStep
from tasks.standby import StandbyStep

log = structlog.get_logger(__name__)

WORKER_SOCKET_TIMEOUT_S = 2.0


def make_celery(settings: Settings) -> Celery:
    """The app of a worker, a beat or Flower. Opens nothing."""
    app = Celery("wakebridge", set_as_current=False)
    app.conf.update(common_options(settings))
    app.conf.update(_options(settings))
    app.bridge_scope = Scope(settings)
    for module in (deliver_wake, claim_canary, run_tick):
        module.register(app)
    app.steps["worker"].add(StandbyStep)
    app.steps["worker"].add(HostStep)
    app.steps["worker"].add(FiguresStep)
    app.steps["consumer"].add(BrokerCheck)
    _connect_signals(settings)
    return app


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "broker_transport_options": transport_options(settings, WORKER_SOCKET_TIMEOUT_S),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": WORKER_SOCKET_TIMEOUT_S,
        "broker_pool_limit": 32,
        "broker_pool_acquire_timeout": 1.0,
        "task_routes": {name.value: {"queue": queue} for name, queue in ROUTES.items()},
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        "worker_pool": "threads",
        "worker_prefetch_multiplier": 1,
        "worker_eta_task_limit": 100,
        "worker_send_task_events": True,
        "worker_enable_remote_control": True,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "task_send_sent_event": False,
        "beat_schedule": beat_schedule(),
        "beat_max_loop_interval": 1,
        "control_queue_exclusive": True,
        "event_queue_ttl": 30.0,
    }


class BrokerCheck(bootsteps.StartStopStep):
    """At each new connection: a broker that came back may have come back with other settings."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, consumer: Any) -> None:  # noqa: ANN401  Celery's signature
        """End the process rather than work on a broker that may throw messages away."""
        refuse_unsafe_broker(consumer.app)


def refuse_unsafe_broker(app: Celery) -> None:
    """Raise SystemExit for a broker that may throw messages away; one that does not answer is let be."""
    try:
        answered = check_broker(scope_of(app).settings)
    except BrokerRefused as refused:
        log.critical("broker.refused", why=refused.detail, **refused.facts)
        raise SystemExit(f"{refused.detail} (it is {refused.facts.get('policy')!r})") from refused
    if not answered:
        log.warning("broker.silent", why="it does not answer now; what is due is carried out all the same")


def refuse_unsafe_database(app: Celery) -> None:
    """Raise SystemExit for a database that could lose what it acknowledged; a silent one is let be."""
    try:
        scope_of(app).container.check_database()
    except Unsafe as unsafe:
        log.critical("database.refused", why=unsafe.detail)
        raise SystemExit(unsafe.detail) from unsafe
    except BridgeError as error:
        log.warning("database.silent", why=error.detail)


def _on_worker_init(sender: Any, **_: object) -> None:  # noqa: ANN401  Celery's signature
    scope = scope_of(sender.app)
    configure_logs(scope.settings.log_level)
    scope.name(sender.hostname)
    refuse_unsafe_broker(sender.app)
    refuse_unsafe_database(sender.app)


def _on_beat_init(sender: Any, **_: object) -> None:  # noqa: ANN401  Celery's signature
    scope_of(sender.app).process = "beat"
    # A beat that cannot publish has other things to do than to wait for the broker.
    sender.app.conf.broker_connection_max_retries = 1
    refuse_unsafe_broker(sender.app)
    refuse_unsafe_database(sender.app)


def _on_worker_shutdown(sender: Any, **_: object) -> None:  # noqa: ANN401  Celery's signature
    scope_of(sender.app).close()


def _connect_signals(settings: Settings) -> None:
    def on_setup_logging(**_: object) -> None:
        configure_logs(settings.log_level)

    signals.worker_init.connect(_on_worker_init)
    signals.beat_init.connect(_on_beat_init)
    signals.worker_shutdown.connect(_on_worker_shutdown)
    signals.setup_logging.connect(on_setup_logging, weak=False)
