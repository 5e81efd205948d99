"""What a terminal's human is told of wakes that wait for him, as the worker counts them."""

from __future__ import annotations

from bridge.adapters.runtimes.pty_waiting import LAPSE_S, Waiting
from bridge.ports.runtime import SessionRef, Waits

HERE = SessionRef("ws_1", "bob", "ses_bob")
THERE = SessionRef("ws_1", "dan", "ses_dan")


class Clock:
    """A clock that is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def said(wakes: int, why: str, again_in_s: float) -> dict[str, object]:
    return {"op": "waiting", "wakes": wakes, "why": why, "again_in_s": again_in_s}


def test_each_wake_counts_once_and_the_last_word_is_the_one_that_is_shown() -> None:
    waiting = Waiting(Clock())
    assert waiting.heard(HERE, Waits("w1", "a human typed 1 s ago", 5.0)) == said(
        1, "a human typed 1 s ago", 5.0
    )
    assert waiting.heard(HERE, Waits("w1", "it shows a dialog", 5.04)) == said(1, "it shows a dialog", 5.0)
    assert waiting.heard(HERE, Waits("w2", "it shows a dialog", 3.0)) == said(2, "it shows a dialog", 3.0)
    assert waiting.heard(THERE, Waits("w3", "x", 3.0)) == said(1, "x", 3.0)


def test_what_was_handed_over_is_taken_back_when_nothing_else_waits() -> None:
    waiting = Waiting(Clock())
    assert waiting.heard(HERE, Waits("w1")) is None, "nobody was told of it"
    waiting.heard(HERE, Waits("w1", "x", 5.0))
    waiting.heard(HERE, Waits("w2", "x", 5.0))
    assert waiting.heard(HERE, Waits("w1")) is None
    assert waiting.heard(HERE, Waits("w2")) == said(0, "", 0.0)
    assert waiting.heard(HERE, Waits("w2")) is None


def test_what_nobody_speaks_of_any_more_counts_no_more() -> None:
    clock = Clock()
    waiting = Waiting(clock)
    waiting.heard(HERE, Waits("w1", "x", 5.0))
    clock.now += 5 + LAPSE_S
    assert waiting.heard(HERE, Waits("w2", "y", 5.0)) == said(1, "y", 5.0)
    clock.now += 60
    waiting.heard(THERE, Waits("w3", "z", 1.0))
    assert list(waiting._until) == [THERE]
