"""How long something took, by the machine's own clock: never a time of day, never a reason to decide."""

from __future__ import annotations

import time
from collections.abc import Callable


def stopwatch() -> Callable[[], float]:
    """Seconds since this call, each time the result is called."""
    started = time.monotonic()
    return lambda: time.monotonic() - started
