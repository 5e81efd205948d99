"""Calls that wait: read, wait for news, read again; never with a database connection in hand.

A waiting call asks every half second whether its token still holds, and ends when it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from bridge.adapters.pubsub import Topic, Turn
from web.routing import AnyCall

T = TypeVar("T")


def wait_until(
    call: AnyCall,
    topics: Sequence[Topic],
    wait_s: float,
    read: Callable[[], T],
    *,
    enough: Callable[[T], bool],
) -> T:
    """What `read` gives once it is enough, or what it gave last when the time is up. Raises what reading raises."""
    if wait_s <= 0:
        return read()
    with call.services.listeners.wait(topics, wait_s) as waiter:
        found = read()
        while not enough(found):
            turn = waiter.turn()
            if turn is Turn.OVER:
                break
            call.services.tokens.recheck(call.claims)
            if turn is Turn.LOOK:
                found = read()
    return found
