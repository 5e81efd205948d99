"""Virtual time: a heap of moments and processes that are generators.

A process yields seconds to sleep, or a `Park` to be woken by somebody else. It can be killed wherever it stands:
its `finally` runs, nothing else. Time is whole microseconds, so that a moment has one value everywhere.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
_MICRO = timedelta(microseconds=1)
T = TypeVar("T")


class Dice(random.Random):
    """Seeded chance: the only one in a history."""

    def chance(self, probability: float) -> bool:
        """True so often."""
        return self.random() < probability

    def one_of(self, weights: dict[str, float]) -> str:
        """One of the names, as often as its weight among all says."""
        return self.choices(list(weights), list(weights.values()))[0]


class Park:
    """A stop without an end of its own: `wake` ends it, or its timeout does (with None)."""

    __slots__ = ("done", "process", "timeout_s")

    def __init__(self, timeout_s: float | None = None) -> None:
        self.timeout_s = timeout_s
        self.process: Process | None = None
        self.done = False

    def wake(self, value: Any = None) -> None:  # noqa: ANN401  whatever it waited for
        """Go on, with this value; a second time does nothing."""
        if not self.done:
            self.done = True
            if self.process is not None:
                self.process.engine.after(0, self.process.step, value)


Steps = Generator["float | Park", Any, T]


class Process:
    """A generator under way."""

    __slots__ = ("alive", "engine", "steps")

    def __init__(self, engine: Engine, steps: Steps[None]) -> None:
        self.engine, self.steps, self.alive = engine, steps, True

    def step(self, value: Any) -> None:  # noqa: ANN401  what it is woken with
        """Run to the next stop."""
        if not self.alive:
            return
        try:
            pause = self.steps.send(value)
        except StopIteration:
            self.alive = False
            return
        if isinstance(pause, Park):
            pause.process = self
            if pause.done:
                self.engine.after(0, self.step, None)
            elif pause.timeout_s is not None:
                self.engine.after(pause.timeout_s, pause.wake, None)
        else:
            self.engine.after(pause, self.step, None)

    def kill(self) -> None:
        """Never run again."""
        if self.alive:
            self.alive = False
            self.steps.close()


class Engine:
    """The clock and what is to happen."""

    def __init__(self) -> None:
        self.us = 0
        self.steps_done = 0
        self._n = 0
        self._heap: list[tuple[int, int, Callable[[Any], None], Any]] = []
        self._now = EPOCH

    @property
    def now(self) -> datetime:
        """The moment, as the core knows it."""
        return self._now

    def after(self, seconds: float, call: Callable[[Any], None], value: Any = None) -> None:  # noqa: ANN401
        """Call it so much later; at the same moment, in the order of asking."""
        self._n += 1
        heapq.heappush(self._heap, (self.us + int(seconds * SECOND), self._n, call, value))

    def at(self, moment: datetime, call: Callable[[Any], None], value: Any = None) -> None:  # noqa: ANN401
        """Call it at that moment, or now when it is past."""
        self._n += 1
        heapq.heappush(self._heap, (max(self.us, us_of(moment)), self._n, call, value))

    def at_us(self, us: int, call: Callable[[Any], None]) -> None:
        """Call it at that microsecond, or now when it is past."""
        self._n += 1
        heapq.heappush(self._heap, (max(self.us, us), self._n, call, None))

    def start(self, steps: Steps[None]) -> Process:
        """Begin a process."""
        process = Process(self, steps)
        self.after(0, process.step, None)
        return process

    def run(self, until_s: float) -> None:
        """Let everything happen up to a moment."""
        until = int(until_s * SECOND)
        heap = self._heap
        while heap and heap[0][0] <= until:
            us, _, call, value = heapq.heappop(heap)
            if us != self.us:
                self.us = us
                self._now = EPOCH + _MICRO * us
            self.steps_done += 1
            call(value)
        self.us = until
        self._now = EPOCH + _MICRO * until


def us_of(moment: datetime) -> int:
    """Microseconds since the beginning."""
    return (moment - EPOCH) // _MICRO


def seconds_of(moment: datetime) -> float:
    """Seconds since the beginning, to be read."""
    return (moment - EPOCH).total_seconds()
