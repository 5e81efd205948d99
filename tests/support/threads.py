"""Many hands at once, started by a barrier; and waiting until a hand waits for a lock, without sleeping blindly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tests.support.postgres import Owner

T = TypeVar("T")
PATIENCE_S = 60.0


def at_once(hands: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """Run all, none before the others are there too; each one's answer, or what it raised."""
    barrier = threading.Barrier(len(hands))

    def run(hand: Callable[[], T]) -> T | Exception:
        barrier.wait(PATIENCE_S)
        try:
            return hand()
        except Exception as error:  # noqa: BLE001  the test judges it
            return error

    with ThreadPoolExecutor(len(hands)) as pool:
        return list(pool.map(run, hands))


def answers(found: Sequence[T | Exception]) -> list[T]:
    """The answers; raises the first error there is."""
    for one in found:
        if isinstance(one, Exception):
            raise one
    return [one for one in found if not isinstance(one, Exception)]


def waiting_for_a_lock(owner: Owner, count: int = 1) -> None:
    """Returns when so many connections of this database wait for a lock."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_S * 100)):
        waiting = owner.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        if waiting >= count:
            return
        pause.wait(0.01)
    msg = "nobody waits for a lock"
    raise AssertionError(msg)
