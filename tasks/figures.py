"""Figures that must be right when nothing else runs: how old the oldest due row is, what is open, when ticks ran.

The general worker reads them from the database, in a thread of its own: they go on with broker and beats dead.
"""

from __future__ import annotations

import threading
from typing import Any

import structlog
from celery import bootsteps

from bridge.adapters.metrics import oldest_due_age, tick_age, wakes_open
from bridge.bootstrap import Container
from bridge.core.errors import BridgeError
from bridge.core.states import WAKE_OPEN
from bridge.ports.tasks import TIMERS
from tasks.base import Scope, scope_of
from tasks.beat import TICKS

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 2.0
STOP_S = 5.0


def note_figures(container: Container) -> None:
    """Read them once. Raises Unavailable."""
    oldest_due_age.set(container.keeping.oldest_due_age_s())
    open_now = container.keeping.open_by_state()
    for state in WAKE_OPEN:
        wakes_open.labels(state.value).set(open_now.get(state.value, 0))
    ran = container.ticks.ages_s({tick.name.value: tick.period_s for tick in TICKS})
    for name, age_s in ran.items():
        tick_age.labels(name).set(age_s)


class FiguresStep(bootsteps.StartStopStep):
    """Reads the figures again and again, in the general worker alone."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:  # noqa: ANN401  Celery's signature
        super().__init__(worker, **kwargs)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def include_if(self, worker: Any) -> bool:  # noqa: ANN401  Celery's signature
        """One worker's figures are enough."""
        return TIMERS in worker.app.amqp.queues.consume_from

    def start(self, worker: Any) -> None:  # noqa: ANN401  Celery's signature
        """Begin to look."""
        scope = scope_of(worker.app)
        self._thread = threading.Thread(target=self._look, args=(scope,), name="figures", daemon=True)
        self._thread.start()

    def stop(self, worker: Any) -> None:  # noqa: ANN401  Celery's signature
        """Look no more."""
        del worker
        self._stop.set()
        if self._thread is not None:
            self._thread.join(STOP_S)

    terminate = stop

    def _look(self, scope: Scope) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                note_figures(scope.container)
            except BridgeError as error:
                log.warning("figures.blind", why=error.detail)
            except Exception:  # the next look may find more
                log.exception("figures.blind")
