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
    process_alive: bool  # a process that is not ours holds it: nothing may start a second one
    running: bool = False  # a run of ours is alive in it
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
    can_start: frozenset[Rung] = frozenset()  # what the host's configuration says how to start for this agent
    draining: bool = False  # its host starts nothing new
    elsewhere: str | None = None  # a host that may take it over while its own is not seen or drains
    slots_free: bool = True  # of its host
    agent_runs: int = 0  # runs of the agent that are open
    starting: bool = False  # another wake's spawn of this agent is under way
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
    rung = _to_start(tried, facts, policy)
    if session is not None and session.running:
        # Whatever comes next waits for it: it ends by itself, or is made to.
        return Choice(rung or Rung.RESUME, WaitReason.SLOT)
    if rung is not None:
        return Choice(rung, _before_start(session, facts, policy))
    reached = session is not None and session.live
    return Choice(Rung.OPERATOR, None if reached or tried.seat_over else WaitReason.SEAT)


def _to_start(tried: Tried, facts: Facts, policy: Policy) -> Rung | None:
    session = facts.session
    held = session is not None and session.process_alive
    resumed = session is not None and not held and _can_resume(session, policy)
    if resumed and Rung.RESUME in facts.can_start and _left(Rung.RESUME, tried, policy):
        return Rung.RESUME
    if Rung.SPAWN in facts.can_start and (policy.spawn_beside_live or not held):
        return Rung.SPAWN if _left(Rung.SPAWN, tried, policy) else None
    return None


def _before_start(session: SessionFacts | None, facts: Facts, policy: Policy) -> WaitReason | None:
    if facts.draining:
        return WaitReason.HOST
    taken = facts.starting or (session is not None and session.in_flight)
    full = not facts.slots_free or facts.agent_runs >= policy.agent_slots
    return WaitReason.SLOT if taken or full else None


def _left(rung: Rung, tried: Tried, policy: Policy) -> bool:
    return rung not in tried.spent and tried.count(rung) < policy.limits(rung).tries


def _can_resume(session: SessionFacts, policy: Policy) -> bool:
    return session.resumable and not session.stale and session.crashes < policy.crash_loop_limit
