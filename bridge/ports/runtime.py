"""A runtime: what can look at an agent's session and hand a line to it.

Rules of this file:

- `probe` looks and touches nothing; `hand_over` touches. Between them the caller commits `touching`.
- Both have a deadline and come back by it, with what is known; neither raises for what a session may do.
- A line handed over twice with the same key is typed at most once: the runtime remembers keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bridge.core.states import Evidence, WaitReason


@dataclass(frozen=True, slots=True)
class SessionRef:
    """The session to touch: ids alone; the runtime knows where it is."""

    workspace_id: str
    agent_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class Probed:
    """May it be touched now; if not, what it is to wait for. `here` is False when nothing is there at all."""

    free: bool
    reason: WaitReason | None = None
    why: str = ""
    here: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """What to hand over and how. `key` names it for good: a key that was accepted is never typed again.

    `unread` messages in `threads` threads are what `text` says in words, for a runtime that sends no line.
    """

    key: str
    text: str
    look_first: bool = False
    may_type: bool = True
    force: bool = False
    quiet_s: float = 20.0
    deadline_s: float = 10.0
    unread: int = 0
    threads: int = 0


@dataclass(frozen=True, slots=True)
class Handed:
    """How far it came. `reason` matters where nothing was touched; `by` names the evidence of an acceptance."""

    evidence: Evidence
    reason: WaitReason = WaitReason.BUSY
    why: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Waits:
    """A wake that waits for something at a session, in words; `again_in_s` None: it waits there no more."""

    key: str
    why: str = ""
    again_in_s: float | None = None


class Runtime(Protocol):
    """One kind of runtime on one host."""

    def probe(self, session: SessionRef, *, quiet_s: float, force: bool = False) -> Probed:
        """Look whether a line could be handed over now."""
        ...

    def hand_over(self, session: SessionRef, line: Line) -> Handed:
        """Hand the line over, by its deadline."""
        ...

    def tell(self, session: SessionRef, waits: Waits) -> None:
        """Say at the session what waits, where there is a human to say it to. Never fails, never waits long."""
        ...
