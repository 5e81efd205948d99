"""The closed list of what the core can ask the shell to do.

Imperative, carried out at least once, keyed by ids and fences.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bridge.core.states import Rung, SessionFound


@dataclass(frozen=True, slots=True)
class Probe:
    """Look whether the session can be touched now; nothing may be typed yet."""

    rung: Rung
    session_id: str
    fence: int


@dataclass(frozen=True, slots=True)
class BeginAttempt:
    """Record the attempt and what it offers, then hand the line over; it holds its session while a wake is in it."""

    attempt_id: str
    rung: Rung
    session_id: str
    fence: int
    look_first: bool
    may_type: bool
    force: bool


@dataclass(frozen=True, slots=True)
class MoveTo:
    """The wake goes on at another host: its own is not seen, or starts nothing now."""

    host: str


@dataclass(frozen=True, slots=True)
class AcceptAttempt:
    """The run of this attempt proved whose it is: the wakes that it tells of were accepted."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class JudgeAttempt:
    """The run of this attempt is over: the wakes that it told of are judged now, its session as `found` says."""

    attempt_id: str
    why: str
    found: SessionFound | None = None


@dataclass(frozen=True, slots=True)
class TakeSeat:
    """The session takes its agent's seat, unless a living terminal holds it."""

    session_id: str
    resumable: bool


@dataclass(frozen=True, slots=True)
class LeaveAttempt:
    """The wake is out of the attempt; when no wake is left in it, its session is free for the next."""

    attempt_id: str
    result: str


@dataclass(frozen=True, slots=True)
class TakeProbe:
    """This wake is the one probe of an unreachable agent: the others go on waiting behind the breaker.

    `seen` is when the probe was due as this decision knew it: another wake may have taken it meanwhile.
    """

    seen: datetime


@dataclass(frozen=True, slots=True)
class OpenNext:
    """Open the next wake for the same agent and thread, up to `target_seq`."""

    target_seq: int


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell the operators, and the sender, in words; notices are grouped by `cause`.

    `loop` names the kind of circle, or standstill, that was found; `also` one more who is told.
    """

    cause: str
    text: str
    tell_sender: bool = True
    loop: str | None = None
    also: str | None = None


@dataclass(frozen=True, slots=True)
class MarkUnreachable:
    """The agent could not be woken: its breaker opens, or stays open longer."""


@dataclass(frozen=True, slots=True)
class CancelWakes:
    """End every open wake of the thread, except those of operators."""

    why: str


@dataclass(frozen=True, slots=True)
class OpenWakes:
    """Wake each recipient of the message just stored, not before `delay_s` from now."""

    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class OpenUnread:
    """Open a wake for each participant who has something unread."""


@dataclass(frozen=True, slots=True)
class Say:
    """Store a system message in the thread, so that everyone there reads why; it is for `to`, whom it may wake."""

    text: str
    to: str | None = None
    wakes: bool = False


Effect = (
    Probe
    | BeginAttempt
    | LeaveAttempt
    | MoveTo
    | AcceptAttempt
    | JudgeAttempt
    | TakeSeat
    | TakeProbe
    | OpenNext
    | Notify
    | MarkUnreachable
    | CancelWakes
    | OpenWakes
    | OpenUnread
    | Say
)
