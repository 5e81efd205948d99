"""What every task of a process shares: one container, one runtime, log context, the figures.

Rules of this file:

- The container is built at the first use, not at import: a worker that is asked for its help connects to nothing.
- A task ends with a short word that Flower shows; what went wrong with the infrastructure ends it as failed, and
  the row is rung again.
"""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple

import structlog
from celery import Celery, Task

from bridge.adapters.metrics import ring_to_claim
from bridge.bootstrap import Container, Process, build
from bridge.config import Settings
from bridge.ports.runs import Credentials, Runs
from bridge.ports.runtime import Runtime

RING_AGE_S_MAX = 3600.0


class Starter(NamedTuple):
    """What starts processes on this host, and where their tokens come from."""

    runs: Runs
    credentials: Credentials


class Scope:
    """What this process holds, made when first asked for. `runtime`, `starter`: on a host's worker alone."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.process: Process = "worker"
        self.runtime: Runtime | None = None
        self.starter: Starter | None = None
        self.worker = "worker"
        self._container: Container | None = None
        self._lock = threading.Lock()

    @property
    def container(self) -> Container:
        """The one container of this process."""
        with self._lock:
            if self._container is None:
                self._container = build(self.settings, process=self.process)
            return self._container

    def name(self, hostname: str) -> None:
        """Name this worker's incarnation: what a lease says about who holds it."""
        self.worker = f"{hostname}/{self.container.ids.new('w')[-8:]}"

    def close(self) -> None:
        """Give everything back."""
        with self._lock:
            container, self._container = self._container, None
        if container is not None:
            container.close()


def scope_of(app: Celery) -> Scope:
    """The scope that `make_celery` gave this app."""
    scope = app.bridge_scope
    assert isinstance(scope, Scope)  # noqa: S101  make_celery sets it
    return scope


class BridgeTask(Task):
    """The base of every task: log context, and how long its ring took."""

    abstract = True

    @property
    def scope(self) -> Scope:
        """What this process holds."""
        return scope_of(self.app)

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:  # noqa: ANN401  Celery's signature
        """Bind the log context, and note how long the ring took."""
        del kwargs
        structlog.contextvars.bind_contextvars(task=self.name, task_id=task_id, ids=list(args))
        rung_at = (self.request.headers or {}).get("rung_at")
        if isinstance(rung_at, float) and 0 <= (age_s := time.monotonic() - rung_at) < RING_AGE_S_MAX:
            ring_to_claim.observe(age_s)

    def after_return(self, *args: Any) -> None:  # noqa: ANN401  Celery's signature
        """Forget the log context: the thread does other work next."""
        del args
        structlog.contextvars.clear_contextvars()
