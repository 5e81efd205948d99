"""A breaker: after some failures in a row, nothing is tried for a while; then one probe."""

from __future__ import annotations

import time
from collections.abc import Callable

from bridge.adapters.metrics import breaker_state


class Breaker:
    """For one thread. Open, it says no at once; after a pause, doubled by each failed probe, one is tried."""

    def __init__(
        self,
        name: str,
        *,
        failures_max: int = 3,
        pause_s: float = 0.5,
        pause_s_max: float = 4.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gauge = breaker_state.labels(name)
        self._gauge.set(0)
        self._failures_max, self._pause_s, self._pause_s_max = failures_max, pause_s, pause_s_max
        self._clock = clock
        self._failures = 0
        self._open_until = float("-inf")

    @property
    def is_open(self) -> bool:
        """Nothing is to be tried now."""
        return self._clock() < self._open_until

    def succeeded(self) -> None:
        """It works: closed."""
        self._failures, self._open_until = 0, float("-inf")
        self._gauge.set(0)

    def failed(self) -> None:
        """One more failure; from `failures_max` on, a pause."""
        self._failures += 1
        extra = self._failures - self._failures_max
        if extra >= 0:
            pause = min(self._pause_s_max, self._pause_s * 2.0 ** min(extra, 10))
            self._open_until = self._clock() + pause
            self._gauge.set(1)
