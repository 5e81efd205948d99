"""Posts to one thread queue here, in front of the pool, so that a hot thread holds few connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from bridge.core.errors import Unavailable


class ThreadGate:
    """One writer of a thread at a time in this process; threads share stripes, which costs only time."""

    def __init__(self, stripes: int = 64, wait_s: float = 5.0) -> None:
        self._locks = tuple(Lock() for _ in range(stripes))
        self._wait_s = wait_s

    @contextmanager
    def of(self, thread_id: str) -> Iterator[None]:
        """Hold the thread's place. Raises Unavailable when the queue in front of it is too long."""
        lock = self._locks[hash(thread_id) % len(self._locks)]
        if not lock.acquire(timeout=self._wait_s):
            raise Unavailable("too many posts to this thread at once: try again", thread_id=thread_id)
        try:
            yield
        finally:
            lock.release()
