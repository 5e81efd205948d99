"""The keeper of time: rings every row when it falls due.

Rules of this file:

- The database says what is due; nothing is remembered that it does not know. A keeper that dies loses a second.
- Rows are taken a little ahead of their time into a heap, and rung at their time by a monotonic clock.
- A keeper that cannot publish takes nothing: what it does not take, the workers' standby carries out.
- Two keepers share the work by the rows' locks; neither knows of the other.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog
from celery.beat import ScheduleEntry, Scheduler

from bridge.adapters.breaker import Breaker
from bridge.adapters.metrics import doorbells, publish_failures, ring_lateness
from bridge.core.errors import BridgeError, OurError
from bridge.ports.gateway import Ring
from bridge.ports.keeper import DueRow, KeptRows
from bridge.ports.tasks import TaskName
from tasks.base import scope_of

log = structlog.get_logger(__name__)

TAKE_EVERY_S = 1.0
PAUSE_S = 1.0
HEAP_MAX = 5_000


class Bell(Protocol):
    """What a keeper rings: one connection to the broker, in its own thread."""

    def probe(self) -> None:
        """Find out whether the broker answers. Raises OurError."""
        ...

    def knows(self, queue: str) -> bool:
        """Whether this queue exists."""
        ...

    def publish(self, rings: Sequence[Ring]) -> None:
        """Send them all. Raises OurError; then it is not known which arrived."""
        ...


class Keeper:
    """Takes rows ahead of their time and rings each at it. `step` is to be called again after what it gives."""

    def __init__(self, rows: KeptRows, bell: Bell, clock: Callable[[], float] = time.monotonic) -> None:
        self._rows, self._bell, self._clock = rows, bell, clock
        self._breaker = Breaker("broker-keeper", failures_max=1, clock=clock)
        self._heap: list[tuple[float, str, DueRow]] = []
        self._take_at = clock()
        self._doubtful = True

    def step(self) -> float:
        """Do what is to be done now; the seconds until there is more. Raises OurError without a database."""
        if self._clock() >= self._take_at:
            self._take_at = self._clock() + TAKE_EVERY_S
            self._take()
        self._ring(self._due())
        next_at = min([self._take_at, *(entry[0] for entry in self._heap[:1])])
        return max(0.0, next_at - self._clock())

    def _take(self) -> None:
        if len(self._heap) >= HEAP_MAX or not self._can_publish():
            return
        rows = self._rows.take_due()
        taken_at = (
            self._clock()
        )  # after the answer: a ring that comes early is worse than one a millisecond late
        for row in rows:
            heapq.heappush(self._heap, (taken_at + row.due_in_s, row.wake_id, row))

    def _can_publish(self) -> bool:
        """After a failure the broker is asked before rows are taken from those who would carry them out."""
        if self._breaker.is_open:
            return False
        if self._doubtful:
            try:
                self._bell.probe()
            except OurError as failure:
                self._breaker.failed()
                log.warning("keeper.broker_silent", why=failure.detail[:200])
                return False
            self._doubtful = False
        return True

    def _due(self) -> list[tuple[float, DueRow]]:
        due: list[tuple[float, DueRow]] = []
        while self._heap and self._heap[0][0] <= self._clock():
            at, _, row = heapq.heappop(self._heap)
            due.append((at, row))
        return due

    def _ring(self, due: Sequence[tuple[float, DueRow]]) -> None:
        if not due:
            return
        rung = [(at, row, row.ring()) for at, row in due]
        known = [(at, row, ring) for at, row, ring in rung if self._bell.knows(ring.queue)]
        publish_failures.labels("unknown_queue").inc(len(rung) - len(known))
        ids = [row.wake_id for _, row, _ in known]
        if not ids:
            return
        if self._breaker.is_open:
            self._rows.clear(ids)
            return
        try:
            self._bell.publish([ring for _, _, ring in known])
        except OurError as failure:
            self._failed(ids, failure)
            return
        now = self._clock()
        self._breaker.succeeded()
        doorbells.labels("keeper").inc(len(ids))
        for at, _, _ in known:
            ring_lateness.observe(max(0.0, now - at))
        self._rows.confirm(ids)

    def _failed(self, ids: Sequence[str], failure: OurError) -> None:
        self._breaker.failed()
        self._doubtful = True
        publish_failures.labels("broker").inc(len(ids))
        log.warning("keeper.not_sent", rings=len(ids), why=failure.detail[:200])
        self._rows.clear(ids)


class KeeperScheduler(Scheduler):
    """Beat with a keeper in it: `celery beat -S tasks.keeper:KeeperScheduler`. Ticks and rings share one connection."""

    # Beat hands this to `apply_async`, which has its own: looking it up would connect, and wait for the broker.
    producer = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  Celery's signature
        super().__init__(*args, **kwargs)
        self._keeper: Keeper | None = None  # made at the first tick: a lazy scheduler is there to be shown

    def tick(self, *args: Any, **kwargs: Any) -> float:  # noqa: ANN401  Celery's signature
        """Ring what is due and wait for what comes next; always 0, for beat's own waiting cannot be cut short."""
        waits = [float(self.max_interval), self._ticks(*args, **kwargs), self._rings()]
        wait_s = max(0.0, min(waits))
        if wait_s:
            time.sleep(wait_s)
        return 0.0

    def _ticks(self, *args: Any, **kwargs: Any) -> float:  # noqa: ANN401  Celery's signature
        try:
            return float(super().tick(*args, **kwargs) or 0.0)
        except Exception:  # it would end beat, and with it the keeping of time
            log.exception("beat.failed")
            return PAUSE_S

    def _rings(self) -> float:
        try:
            if self._keeper is None:
                container = scope_of(self.app).container
                self._keeper = Keeper(container.keeping, container.publisher)
            return self._keeper.step()
        except BridgeError as error:
            log.warning("keeper.failed", why=error.detail)
        except Exception:  # it would end beat; the next step begins from what the database says
            log.exception("keeper.failed")
        return PAUSE_S

    def apply_async(self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **_: Any) -> None:  # noqa: ANN401, FBT001, FBT002  Celery's signature
        """Send one tick; one that cannot be sent is missed, and the next one finds what it would have found."""
        del producer
        if advance:
            entry = self.reserve(entry)
        queue, life_s = entry.options["queue"], float(entry.options["expires"])
        try:
            scope_of(self.app).container.publisher.publish_tick(TaskName(entry.task), queue, life_s)
        except OurError as failure:
            publish_failures.labels("tick").inc()
            log.warning("beat.tick_not_sent", tick=entry.task, why=failure.detail[:200])

    def close(self) -> None:
        """Give all connections back."""
        super().close()
        if self._keeper is not None:
            scope_of(self.app).close()
