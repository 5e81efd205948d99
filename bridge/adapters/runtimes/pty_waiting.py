"""Which wakes wait for a human at each terminal, as its wrapper is told: how many, why, and for how long yet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from bridge.ports.runtime import SessionRef, Waits

LAPSE_S: Final = 10.0
"""So long after its time a wake that nobody has spoken of since counts no more: another hand took it, or it ended."""


class Waiting:
    """Kept in this process alone, and bounded: what has lapsed is forgotten with the next word."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._until: dict[SessionRef, dict[str, float]] = {}

    def heard(self, session: SessionRef, waits: Waits) -> dict[str, Any] | None:
        """What to tell the session's wrapper now; None when it has nothing to take back."""
        now = self._clock()
        with self._lock:
            self._forget(now)
            known = self._until.setdefault(session, {})
            was = bool(known)
            known.pop(waits.key, None)
            if waits.again_in_s is not None:
                known[waits.key] = now + waits.again_in_s + LAPSE_S
            left = len(known)
            if not left:
                del self._until[session]
        if not left and not was:
            return None
        again_s = waits.again_in_s or 0.0
        if left and waits.again_in_s is None:
            return None  # others wait there yet, and were told of in their own words
        return {"op": "waiting", "wakes": left, "why": waits.why, "again_in_s": round(again_s, 1)}

    def _forget(self, now: float) -> None:
        for session, known in list(self._until.items()):
            for key in [key for key, until in known.items() if until <= now]:
                del known[key]
            if not known:
                del self._until[session]
