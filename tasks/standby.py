"""The standby in every worker: carries out what is due and was rung by nobody.

Rules of this file:

- It detects no silent broker and no dead beat: the rows say it. Due for more than a second, and not validly rung.
- It executes through the same command as a ring would, a few at a time, and only rows of its own queues: a host's
  worker those of its host, the general worker those of hosts that are not seen.
- It lives in a thread of its own, which neither the broker's connection nor the pool can hold up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from celery import bootsteps

from bridge.adapters.metrics import standby_executed
from bridge.core.errors import BridgeError
from bridge.ports.keeper import DueRow, KeptRows
from bridge.ports.tasks import TIMERS, host_queue
from tasks.base import scope_of
from tasks.deliver_wake import deliver_wake

log = structlog.get_logger(__name__)

SLOTS = 4
LOOK_EVERY_S = 0.5
STOP_S = 5.0


class Standby:
    """Takes as many overdue rows as it has free slots, and executes each. `host` None: those of hosts not seen."""

    def __init__(
        self, rows: KeptRows, host: str | None, execute: Callable[[DueRow], None], *, slots: int = SLOTS
    ) -> None:
        self._rows, self._host, self._execute = rows, host, execute
        self._free = threading.Semaphore(slots)
        self._slots = slots
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="standby")

    def step(self, patience_s: float = 0.0) -> int:
        """Start what can be started; how many rows that were. Waits for a free slot, at most `patience_s`.

        Raises OurError without a database.
        """
        slots = int(self._free.acquire(timeout=patience_s))
        while 0 < slots < self._slots and self._free.acquire(blocking=False):
            slots += 1
        try:
            rows = self._rows.take_overdue(self._host, slots) if slots else []
        except BaseException:
            self._give_back(slots)
            raise
        self._give_back(slots - len(rows))
        for row in rows:
            self._pool.submit(self._run, row)
        return len(rows)

    def close(self) -> None:
        """Take nothing more; what runs comes to its end by its own deadlines."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _give_back(self, slots: int) -> None:
        for _ in range(slots):
            self._free.release()

    def _run(self, row: DueRow) -> None:
        try:
            standby_executed.inc()
            log.info("standby.executes", wake_id=row.wake_id, late_s=round(-row.due_in_s, 3))
            self._execute(row)
        except BridgeError as error:
            log.warning("standby.failed", wake_id=row.wake_id, why=error.detail)
        except Exception:  # the row is due again when its hold is over
            log.exception("standby.failed", wake_id=row.wake_id)
        finally:
            self._free.release()


class StandbyStep(bootsteps.StartStopStep):
    """The standby as a step of the worker, not of its consumer: it outlives every loss of the broker."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:  # noqa: ANN401  Celery's signature
        super().__init__(worker, **kwargs)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, worker: Any) -> None:  # noqa: ANN401  Celery's signature
        """Begin to look, for each kind of row that this worker's queues stand for."""
        scope = scope_of(worker.app)
        queues = worker.app.amqp.queues.consume_from
        hosts = [scope.settings.host_name] if host_queue(scope.settings.host_name) in queues else []
        for host in [*hosts, *([None] if TIMERS in queues else [])]:
            standby = Standby(scope.container.keeping, host, lambda row: _execute(worker.app, row))
            thread = threading.Thread(target=self._look, args=(standby,), name="standby", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, worker: Any) -> None:  # noqa: ANN401  Celery's signature
        """Look no more."""
        del worker
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_S)

    terminate = stop

    def _look(self, standby: Standby) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                # Where there was something, there may be more: on with it as soon as a hand is free.
                while standby.step(LOOK_EVERY_S) and not self._stop.is_set():
                    pass
            except BridgeError as error:
                log.warning("standby.blind", why=error.detail)
            except Exception:  # the thread that stands in for everything else must not end
                log.exception("standby.blind")
        standby.close()


def _execute(app: Any, row: DueRow) -> None:  # noqa: ANN401  Celery has no types
    scope = scope_of(app)
    deliver_wake(scope, row.workspace_id, row.wake_id, row.ring().task)
