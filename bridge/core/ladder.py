"""Which rung applies now. No wake has a current rung: each try takes the first that applies and has tries left."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bridge.core.hold import Hold
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
    hold: Hold | None = None  # somebody said to leave it alone


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the clock's events need beyond the wake itself, read in the transaction that locks it."""

    cursor: int
    thread_status: ThreadStatus = ThreadStatus.ACTIVE
    agent_is_operator: bool = False
    session: SessionFacts | None = None
    can_start: frozenset[Rung] = frozenset()  # what the host's configuration says how to start for this agent
    draining: bool = False  # its host starts nothing new
    home: str | None = None  # the host that the agent is bound to, if that is another one, which takes wakes
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


# --- the same in words ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RungView:
    """A rung as it stands now: tries used, tries allowed, and why it does not apply, if so."""

    rung: Rung
    tried: int
    tries: int
    applies: bool
    why_not: str | None


def rungs(tried: Tried, facts: Facts, policy: Policy) -> tuple[RungView, ...]:
    """The ladder as it stands: the first rung that applies is what `choose` takes, `operator` apart."""
    checks = ((Rung.LIVE, _not_live), (Rung.RESUME, _not_resumed), (Rung.SPAWN, _not_spawned))
    found = []
    for rung, check in checks:
        why = check(tried, facts, policy) or _used_up(rung, tried, policy)
        found.append(RungView(rung, tried.count(rung), policy.limits(rung).tries, why is None, why))
    return tuple(found)


def _not_live(tried: Tried, facts: Facts, policy: Policy) -> str | None:
    session = facts.session
    if session is None:
        return "it has no session"
    if not session.live:
        return _not_reached(session)
    return f"humans held its terminal for {policy.defer_s_max:g} s" if tried.occupied else None


def _not_reached(session: SessionFacts) -> str:
    return (
        "its process lives, but no terminal of the bridge holds it"
        if session.process_alive
        else "its session is not in a terminal of the bridge"
    )


def _not_resumed(tried: Tried, facts: Facts, policy: Policy) -> str | None:
    del tried
    session = facts.session
    if session is None:
        return "it has no session"
    if session.process_alive:
        return "the session's process lives, and none is started beside it"
    if not session.resumable:
        return "its session cannot be resumed"
    if session.stale:
        return f"its session was silent for more than {policy.stale_after_s:g} s"
    if session.crashes >= policy.crash_loop_limit:
        return f"its session crashed {session.crashes} times within {policy.crash_loop_window_s:g} s"
    return None if Rung.RESUME in facts.can_start else "its host has no preset that resumes it"


def _not_spawned(tried: Tried, facts: Facts, policy: Policy) -> str | None:
    del tried
    if Rung.SPAWN not in facts.can_start:
        return "its host has no preset that starts it"
    held = facts.session is not None and facts.session.process_alive
    return (
        "its process lives, and none is started beside it" if held and not policy.spawn_beside_live else None
    )


def _used_up(rung: Rung, tried: Tried, policy: Policy) -> str | None:
    tries = policy.limits(rung).tries
    if rung in tried.spent:
        return "a try was taken there, and is never repeated"
    if tried.count(rung) < tries:
        return None
    if tries == 1:
        return "its one try is used"
    return f"all {tries} tries are used" if tries else "the policy never tries it"
