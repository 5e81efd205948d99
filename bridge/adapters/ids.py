"""Ids: UUIDv7 made here, so that an index on them grows at its end and they sort by birth.

The only place that reads a wall clock for an id. Within a millisecond a process counts up, so its ids never
sort backwards, not even when the clock is set back.
"""

from __future__ import annotations

import secrets
import threading
import time

_COUNTER_BITS = 12


class Uuid7Ids:
    """The IdSource of every process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def new(self, prefix: str) -> str:
        """A new id: prefix, underscore, UUIDv7 in hex."""
        return f"{prefix.removesuffix('_')}_{self._uuid7():032x}"

    def _uuid7(self) -> int:
        # 48 bits of milliseconds and 12 bits below them (RFC 9562, method 3), never repeated in this process.
        stamp = (time.time_ns() << _COUNTER_BITS) // 1_000_000
        with self._lock:
            self._last = stamp = max(stamp, self._last + 1)
        milliseconds, fraction = stamp >> _COUNTER_BITS, stamp & 0xFFF
        return milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
