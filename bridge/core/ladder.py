"""Which rung applies now. No wake has a current rung: each try takes the first that applies and has tries left."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bridge.core.policy import Policy
from bridge.core.states import Rung, ThreadStatus, WaitReason


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What is known of the agent's session that wakes would go to."""

    session_id: str
    live: bool  # managed, held by a connected runtime, not offline
    process_alive: bool  # its process lives: nothing may start a second one
    resumable: bool = False
    stale: bool = False
    crashes: int = 0  # within the crash loop window
    in_flight: bool = False  # another attempt holds the session
    busy: bool = False  # hook or heartbeat says that the agent works
    told: bool = False  # this very wake was handed over there before
    perhaps_told: bool = False  # an attempt of this wake was begun there before, and may have typed


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the clock's events need beyond the wake itself, read in the transaction that locks it."""

    cursor: int
    thread_status: ThreadStatus = ThreadStatus.ACTIVE
    agent_is_operator: bool = False
    session: SessionFacts | None = None
    can_start: bool = False  # the host's configuration says how to start a process for this agent
    slots_free: bool = True
    host_seen: bool = True
    paused: str | None = None
    unreachable_until: datetime | None = None
    wakes_last_minute: int = 0
    takes_part: bool = True  # a participant of the thread, still


@dataclass(frozen=True, slots=True)
class Tried:
    """What a wake has used up so far."""

    live: int = 0
    resume: int = 0
    spawn: int = 0
    spent: frozenset[Rung] = field(default_factory=frozenset)  # accepted there once: never repeated
    occupied: bool = False  # the longest deferral is over
    seat_over: bool = False  # the longest wait for somebody to take the seat is over

    def count(self, rung: Rung) -> int:
        """Tries burnt on the rung."""
        return {Rung.LIVE: self.live, Rung.RESUME: self.resume, Rung.SPAWN: self.spawn}[rung]


@dataclass(frozen=True, slots=True)
class Choice:
    """The rung to try, or what to wait for first. `OPERATOR`: nothing else applies."""

    rung: Rung
    wait: WaitReason | None = None


def choose(tried: Tried, facts: Facts, policy: Policy) -> Choice:
    """The first rung of the ladder that applies to these facts and has tries left."""
    session = facts.session
    if _left(Rung.LIVE, tried, policy) and session is not None and session.live and not tried.occupied:
        return Choice(Rung.LIVE, WaitReason.SLOT if session.in_flight else None)
    held = session is not None and session.process_alive and not policy.spawn_beside_live
    if facts.can_start and not held:
        if session is not None and _can_resume(session, policy) and _left(Rung.RESUME, tried, policy):
            busy = session.in_flight or not facts.slots_free
            return Choice(Rung.RESUME, WaitReason.SLOT if busy else None)
        if _left(Rung.SPAWN, tried, policy):
            return Choice(Rung.SPAWN, None if facts.slots_free else WaitReason.SLOT)
    empty = session is None or not (session.live or session.process_alive)
    return Choice(Rung.OPERATOR, WaitReason.SEAT if empty and not tried.seat_over else None)


def _left(rung: Rung, tried: Tried, policy: Policy) -> bool:
    return rung not in tried.spent and tried.count(rung) < policy.limits(rung).tries


def _can_resume(session: SessionFacts, policy: Policy) -> bool:
    return session.resumable and not session.stale and session.crashes < policy.crash_loop_limit
