"""The session: one runtime of an agent. It is live while a runtime that the bridge can reach holds it.

A heartbeat says that the agent lives and whether it is busy; it never says where or what to run. Only the host's own
socket (`Attached`, `Detached`) makes a session live and ends that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from bridge.core.errors import InvalidTransition
from bridge.core.hold import Hold
from bridge.core.ladder import SessionFacts
from bridge.core.policy import Policy
from bridge.core.states import SessionFound, SessionStatus

ELSEWHERE = "another program has it open"
ELSEWHERE_S = 30.0
"""A session that is open elsewhere is left alone for so long; then its program is asked again."""


@dataclass(frozen=True, slots=True)
class Session:
    """`attached`: a runtime on `host` holds it now. `term` rises with each attachment."""

    workspace_id: str
    session_id: str
    agent_id: str
    runtime: str
    status: SessionStatus
    resumable: bool = False
    host: str | None = None
    attached: bool = False
    term: int = 0
    pid: int | None = None
    heartbeat_at: datetime | None = None
    human_at: datetime | None = None
    native_id: str | None = None  # the program's own name of it
    preset: str | None = None  # what started it, when a runtime on a host said so
    cwd: str | None = None
    held_until: datetime | None = None
    held_by: str | None = None
    held_why: str | None = None

    def hold(self, now: datetime) -> Hold | None:
        """The hold that is in force now."""
        if self.held_until is None or self.held_by is None or self.held_until <= now:
            return None
        return Hold(self.held_until, self.held_by, self.held_why)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The agent lives; this is how it is."""

    runtime: str
    resumable: bool
    status: SessionStatus


@dataclass(frozen=True, slots=True)
class Attached:
    """A runtime on a host holds the session from now on."""

    host: str
    pid: int
    runtime: str
    preset: str | None = None
    cwd: str | None = None


@dataclass(frozen=True, slots=True)
class Detached:
    """The runtime let go, or its connection ended. A late one, of an earlier term, says nothing."""

    term: int


@dataclass(frozen=True, slots=True)
class HumanTyped:
    """A human pressed a key there."""


@dataclass(frozen=True, slots=True)
class Named:
    """Its program says what it calls it, and whether it can go on with it by that name. A late one says nothing."""

    term: int
    native_id: str
    resumable: bool


@dataclass(frozen=True, slots=True)
class RunProved:
    """A run on a host showed that it is this session."""

    host: str
    native_id: str
    preset: str
    resumable: bool


@dataclass(frozen=True, slots=True)
class RunEnded:
    """No process of its run lives. `found`: why it could not go on with the session, where it said so."""

    found: SessionFound | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody says to leave it alone until then; what was said before counts no more."""

    until: datetime
    by: str
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """The hold is over."""


Event = Heartbeat | Attached | Detached | HumanTyped | Named | RunProved | RunEnded | Held | Released
EVENTS: tuple[type[Any], ...] = tuple(Event.__args__)
Rule = Callable[[Session, Any, datetime], Session]


def _heartbeat(session: Session, event: Heartbeat, now: datetime) -> Session:
    # What holds it says what kind of runtime that is: a pause of one kind is not left by a word of the agent's.
    runtime = session.runtime if session.attached else event.runtime
    return replace(session, status=event.status, runtime=runtime, resumable=event.resumable, heartbeat_at=now)


def _attached(session: Session, event: Attached, now: datetime) -> Session:
    return replace(
        session,
        host=event.host,
        pid=event.pid,
        runtime=event.runtime,
        attached=True,
        preset=event.preset or session.preset,
        cwd=event.cwd or session.cwd,
        term=session.term + 1,
        status=SessionStatus.IDLE if session.status is SessionStatus.OFFLINE else session.status,
        heartbeat_at=now,
    )


def _detached(session: Session, event: Detached, now: datetime) -> Session:
    del now
    if event.term != session.term:
        return session
    return replace(session, attached=False, status=SessionStatus.OFFLINE, pid=None)


def _human(session: Session, event: HumanTyped, now: datetime) -> Session:
    del event
    return replace(session, human_at=now)


def _named(session: Session, event: Named, now: datetime) -> Session:
    del now
    if event.term != session.term or not session.attached:
        return session
    return replace(session, native_id=event.native_id, resumable=event.resumable)


def _run_proved(session: Session, event: RunProved, now: datetime) -> Session:
    return replace(
        session,
        host=event.host,
        native_id=event.native_id,
        preset=event.preset,
        resumable=event.resumable,
        status=SessionStatus.IDLE,
        heartbeat_at=now,
    )


def _run_ended(session: Session, event: RunEnded, now: datetime) -> Session:
    if session.attached:
        return session
    ended = replace(session, status=SessionStatus.OFFLINE)
    if event.found is SessionFound.GONE:
        return replace(ended, resumable=False)
    if event.found is SessionFound.ELSEWHERE:
        return _left_alone(ended, now)
    return ended


def _left_alone(session: Session, now: datetime) -> Session:
    """Nothing is started in it or beside it for a while; who holds it for longer does so still."""
    until = now + timedelta(seconds=ELSEWHERE_S)
    hold = session.hold(now)
    if hold is not None and hold.until >= until:
        return session
    return replace(session, held_until=until, held_by=session.preset or "its program", held_why=ELSEWHERE)


def _held(session: Session, event: Held, now: datetime) -> Session:
    del now
    return replace(session, held_until=event.until, held_by=event.by, held_why=event.why)


def _released(session: Session, event: Released, now: datetime) -> Session:
    del event, now
    return replace(session, held_until=None, held_by=None, held_why=None)


TRANSITIONS: dict[tuple[SessionStatus, type[Any]], Rule] = {
    (status, event): rule
    for status in SessionStatus
    for event, rule in (
        (Heartbeat, _heartbeat),
        (Attached, _attached),
        (Detached, _detached),
        (HumanTyped, _human),
        (Named, _named),
        (RunProved, _run_proved),
        (RunEnded, _run_ended),
        (Held, _held),
        (Released, _released),
    )
}


def decide(session: Session, event: Event, now: datetime) -> Session:
    """What the session becomes. A session never changes hands: the shell asks only for its own agent's."""
    rule = TRANSITIONS.get((session.status, type(event)))
    if rule is None:
        raise InvalidTransition(f"a session that is {session.status} does not take {type(event).__name__}")
    return rule(session, event, now)


def _fresh(session: Session, policy: Policy, now: datetime) -> bool:
    """Whether it said a short while ago that it lives."""
    beat = session.heartbeat_at
    fresh = beat is not None and now - beat < timedelta(seconds=policy.heartbeat_s_max)
    return fresh and session.status is not SessionStatus.OFFLINE


def facts(
    session: Session,
    policy: Policy,
    now: datetime,
    *,
    in_flight: bool,
    running: bool = False,
    here: bool = True,
    crashes: int = 0,
    told: bool = False,
    perhaps_told: bool = False,
) -> SessionFacts:
    """What the ladder needs to know of it; `here`: its host is the one that looks."""
    beat = session.heartbeat_at
    stale = beat is None or now - beat > timedelta(seconds=policy.stale_after_s)
    fresh = _fresh(session, policy, now)
    return SessionFacts(
        session_id=session.session_id,
        live=session.attached and here and session.status is not SessionStatus.OFFLINE,
        process_alive=(session.attached or fresh) and not running,
        running=running,
        resumable=session.resumable and here,
        stale=stale,
        crashes=crashes,
        in_flight=in_flight,
        busy=session.status is SessionStatus.ACTIVE and fresh,
        told=told,
        perhaps_told=perhaps_told,
        hold=session.hold(now),
    )
