"""A wake's record, and all that can happen to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bridge.core.ladder import Facts, Tried
from bridge.core.states import Evidence, Rung, WaitReason, WakeState


@dataclass(frozen=True, slots=True)
class Wake:
    """One wake. `due_at` is when the clock looks at it next, whatever its state; `dies_at` never moves."""

    wake_id: str
    workspace_id: str
    thread_id: str
    agent_id: str
    target_seq: int
    created_at: datetime
    due_at: datetime
    dies_at: datetime
    since: datetime  # when it began to wait for `reason`
    state: WakeState = WakeState.PENDING
    reason: WaitReason = WaitReason.FIRST
    offered_seq: int = 0  # the highest seq that was handed over
    offering_seq: int = 0  # what the attempt in flight offers
    fence: int = 0  # raised by each claim
    worker: str | None = None
    attempts: int = 0  # how many were begun; the newest is numbered by it
    attempt_id: str | None = None  # the attempt it is in: its own, or one that it joined
    rung: Rung | None = None  # of the attempt in flight, or of the last one
    session_id: str | None = None
    tried: Tried = field(default_factory=Tried)
    accepted_at: datetime | None = None
    handed: bool = False  # some attempt got past touching
    unsure: bool = False  # some attempt may have typed: look for our text first
    deferred_s: float = 0.0  # how long humans have held it, in all
    cancel: str | None = None  # asked to end while it was being typed
    forced: bool = False
    why: str | None = None  # the last failure, in words
    policy_version: int = 1


@dataclass(frozen=True, slots=True)
class Due:
    """The clock: `due_at` has come. Claims a pending wake; judges a lease or a deadline that ended."""

    facts: Facts
    worker: str = ""


@dataclass(frozen=True, slots=True)
class TouchAllowed:
    """The probe found nothing in the way: commit `touching`, then type, or start a process.

    `new_session_id` is the session of a process that is spawned.
    """

    fence: int
    facts: Facts
    new_session_id: str = ""


@dataclass(frozen=True, slots=True)
class Postponed:
    """The probe found something in the way; nothing was touched."""

    fence: int
    reason: WaitReason
    why: str = ""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The hand that typed says how far it came; `by`: what showed it (its own record, a hook, the screen)."""

    fence: int
    evidence: Evidence
    facts: Facts
    reason: WaitReason = WaitReason.HUMAN
    why: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Joined:
    """Another wake's attempt of the same agent offered this one too."""

    attempt_id: str
    offered_seq: int
    accepted: bool
    rung: Rung
    session_id: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """Late evidence: the runtime took what this attempt handed over; a run proved whose session it is."""

    attempt_id: str
    by: str = ""  # what showed it


@dataclass(frozen=True, slots=True)
class RunOver:
    """No process of the attempt's run lives any more. `elsewhere`: another program has its session open."""

    attempt_id: str
    why: str
    facts: Facts
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class CursorMoved:
    """The agent has read up to `cursor`."""

    cursor: int


@dataclass(frozen=True, slots=True)
class TargetRaised:
    """A later message is to be read too."""

    target_seq: int


@dataclass(frozen=True, slots=True)
class SignOfLife:
    """The agent posted, sent a heartbeat, or its session became free: what pending wakes wait for may be over."""


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The session the attempt was made in has ended."""

    session_id: str
    why: str = "the session ended before the message was read"


@dataclass(frozen=True, slots=True)
class Forced:
    """An operator skips the wait; never the check of the input box."""

    by: str


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """An operator, or the thread's end, ends the wake."""

    why: str


Event = (
    Due
    | TouchAllowed
    | Postponed
    | HandedOver
    | Joined
    | Accepted
    | RunOver
    | CursorMoved
    | TargetRaised
    | SignOfLife
    | SessionLost
    | Forced
    | CancelAsked
)
EVENTS: tuple[type[Any], ...] = tuple(Event.__args__)
