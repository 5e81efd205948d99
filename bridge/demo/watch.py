"""Waiting for what must happen, and keeping account of it.

Rules of this file:

- A scene says what it expects before it looks. What did not come true is told with what was seen instead.
- Waiting is asking again, at a fixed pace and with a deadline; every wait ends when the play is stopped.
- A bridge that does not answer for a moment (its processes are being killed) is no answer yet, not a failure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from bridge.client import ApiError
from bridge.demo.timeline import Timeline

ASK_EVERY_S = 0.1
UNAVAILABLE = 503

T = TypeVar("T")


class SceneFailed(Exception):
    """What was expected did not happen."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected: {expected}; seen: {seen}")
        self.expected, self.seen = expected, seen


class Stopped(Exception):
    """The play was stopped while a scene was waiting."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that a scene must show."""

    scene: int
    what: str
    met: bool
    seen: str = ""


@dataclass
class Account:
    """Every expectation of every scene, and whether the play still goes on. Thread-safe by appending only."""

    met: list[Expectation] = field(default_factory=list)
    failed: list[Expectation] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def note(self, expectation: Expectation) -> None:
        """Keep it."""
        (self.met if expectation.met else self.failed).append(expectation)


class Scene:
    """One scene's number, its voice in the timeline, and its expectations."""

    def __init__(self, number: int, title: str, timeline: Timeline, account: Account) -> None:
        self.number, self.title = number, title
        self._timeline, self._account = timeline, account

    def begin(self) -> None:
        """Say that it begins."""
        self._timeline.title(self.number, self.title)

    def tell(self, who: str, what: str, evidence: str = "") -> None:
        """Something happened in it."""
        self._timeline.tell(self.number, who, what, evidence)

    def quote(self, lines: Sequence[str]) -> None:
        """What somebody in it was told, in its own lines."""
        self._timeline.quote(self.number, lines)

    def pause(self, seconds: float) -> None:
        """Let a moment pass. Raises Stopped."""
        if self._account.stopped.wait(seconds):
            raise Stopped

    def expect(self, what: str, met: bool, seen: object) -> None:  # noqa: FBT001  the verdict, named by `what`
        """It must be so now. Raises SceneFailed."""
        self._account.note(Expectation(self.number, what, met, str(seen)))
        if not met:
            raise SceneFailed(what, str(seen))

    def until(
        self,
        what: str,
        ask: Callable[[], T | None],
        within_s: float,
        seen: Callable[[], object] = lambda: "nothing of the kind",
        every_s: float = ASK_EVERY_S,
    ) -> T:
        """What `ask` gives, once it gives something; it must within so many seconds. Raises SceneFailed, Stopped."""
        ends = time.monotonic() + within_s
        while True:
            found = _asked(ask)
            if found:
                self._account.note(Expectation(self.number, what, met=True))
                return found
            if time.monotonic() > ends:
                last = _asked(seen)
                said = f"{last} after {within_s:g} s"
                self._account.note(Expectation(self.number, what, met=False, seen=said))
                raise SceneFailed(what, said)
            if self._account.stopped.wait(every_s):
                raise Stopped


def _asked(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except httpx.TransportError:
        return None
    except ApiError as refused:
        if refused.status == UNAVAILABLE:
            return None
        raise
