"""The thread: its status, its counters, and what a post does to it. The post that goes round in circles blocks it.

A *turn* is a message by another sender than the one before. *Progress* (a status change, an event that is no repeat,
a human's message) sets the turns back. A finding's fingerprint is its event type, file, line and normalised text.

An escalation says that somebody has to decide; it changes no status. Closing ends it. Whoever raised or owns it, and
every operator, reassigns or ends it: else a coordinator could end it, and then close what is disputed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from bridge.core.effects import CancelWakes, Effect, Notify, OpenUnread, OpenWakes, Say
from bridge.core.errors import (
    Conflict,
    InsufficientAuthority,
    InvalidTransition,
    ThreadNotOpen,
)
from bridge.core.names import BRIDGE
from bridge.core.policy import Policy
from bridge.core.states import (
    FindingStatus,
    MessageKind,
    Role,
    ThreadStatus,
    ThreadType,
)

PROGRESS_EVENTS = frozenset({"fix_pushed", "finding_verified", "finding_rejected", "decision"})
S = ThreadStatus
LEGAL_STATUS: dict[ThreadStatus, frozenset[ThreadStatus]] = {
    S.ACTIVE: frozenset({S.RESOLVED, S.BLOCKED, S.CLOSED}),
    S.BLOCKED: frozenset({S.ACTIVE, S.CLOSED}),
    S.RESOLVED: frozenset({S.ACTIVE, S.CLOSED}),
    S.CLOSED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Escalation:
    """Somebody has to decide: `owner`, or any operator where it is None. Who asked for that, why and when."""

    by: str
    owner: str | None
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread: its status and its counters."""

    thread_id: str
    workspace_id: str
    type: ThreadType
    status: ThreadStatus
    last_seq: int
    participants: int
    turns: int
    last_sender: str | None
    progress_at: datetime
    open_findings: int = 0
    escalation: Escalation | None = None
    stalled: bool = False
    last_commit: str | None = None
    blocked_reason: str | None = None

    @property
    def escalated(self) -> bool:
        """Whether somebody has to decide."""
        return self.escalation is not None


@dataclass(frozen=True, slots=True)
class FindingFacts:
    """The finding that the event names, as it stood: how often the same was reported, and its status."""

    reports: int
    status: FindingStatus | None


@dataclass(frozen=True, slots=True)
class Posted:
    """A message is about to be stored."""

    sender: str
    kind: MessageKind
    by_human: bool
    event_type: str | None = None
    commit: str | None = None
    finding: FindingFacts | None = None


@dataclass(frozen=True, slots=True)
class StatusAsked:
    """Somebody asks for another status."""

    status: ThreadStatus
    by: str
    role: Role
    reason: str
    expected: ThreadStatus | None = None


@dataclass(frozen=True, slots=True)
class OwnerFacts:
    """Whether the owner that is named reads the thread, and whether a blocked thread wakes it."""

    takes_part: bool
    is_human: bool


@dataclass(frozen=True, slots=True)
class EscalationAsked:
    """Somebody asks for a decision, or for another owner of it. `about`: how the thread stands, in a few lines."""

    by: str
    role: Role
    reason: str
    owner: str | None = None
    owner_facts: OwnerFacts = OwnerFacts(takes_part=False, is_human=False)
    about: str = ""


@dataclass(frozen=True, slots=True)
class EscalationEnded:
    """Somebody says that it is decided."""

    by: str
    role: Role
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class StallChecked:
    """The beat tick looks for what no post can find: open findings with no progress."""


Event = Posted | StatusAsked | EscalationAsked | EscalationEnded | StallChecked
EVENTS: tuple[type[Any], ...] = tuple(Event.__args__)


class Decision(NamedTuple):
    """What the thread becomes, and what the shell is to do."""

    state: Thread
    effects: tuple[Effect, ...] = ()


def fingerprint(event_type: str, file: str | None, line: int | None, text: str | None) -> str:
    """What makes two findings the same: letters and digits of the text, not its spacing, case or numbers' context."""
    words = re.sub(r"[^a-z0-9]+", " ", (text or "").lower()).strip()
    return "\x1f".join((event_type, file or "", str(line or ""), words))


def is_turn(thread: Thread, sender: str) -> bool:
    """Whether a message by `sender` is a turn: the first one in a thread is none."""
    return thread.last_sender is not None and thread.last_sender != sender


def decide(thread: Thread, event: Event, policy: Policy, now: datetime) -> Decision:
    """What follows. Raises ThreadNotOpen, InvalidTransition or InsufficientAuthority; nothing moves then."""
    return TRANSITIONS[thread.status, type(event)](thread, event, policy, now)


def _post(thread: Thread, event: Posted, policy: Policy, now: datetime) -> Decision:
    after = replace(thread, last_seq=thread.last_seq + 1, last_sender=event.sender)
    if thread.status is S.RESOLVED:
        after = replace(after, status=S.ACTIVE, turns=0, progress_at=now, stalled=False)
    after = _count(thread, after, event, now)
    found = _circle(after, event, policy)
    if found is None:
        return Decision(after, (OpenWakes(),))
    kind, circle = found
    if thread.type is ThreadType.CONVERSATION:
        slowed = Notify(f"circles:{thread.thread_id}", circle, loop=kind)
        return Decision(after, (OpenWakes(delay_s=policy.slow_s), slowed))
    blocked = replace(after, status=S.BLOCKED, blocked_reason=circle)
    note = Notify(f"blocked:{thread.thread_id}", f"blocked: {circle}", loop=kind)
    return Decision(blocked, (CancelWakes(circle), OpenWakes(), note))


def _post_blocked(thread: Thread, event: Posted, policy: Policy, now: datetime) -> Decision:
    """Stored, so that nothing is lost; nobody but operators is woken until the thread is unblocked."""
    del policy
    after = replace(thread, last_seq=thread.last_seq + 1, last_sender=event.sender)
    return Decision(_count(thread, after, event, now), (OpenWakes(),))


def _post_closed(thread: Thread, event: Posted, policy: Policy, now: datetime) -> Decision:
    del event, policy, now
    raise ThreadNotOpen(thread_id=thread.thread_id)


def _count(before: Thread, after: Thread, event: Posted, now: datetime) -> Thread:
    if event.kind is MessageKind.SYSTEM:
        return replace(after, last_sender=before.last_sender)
    findings = before.open_findings + _finding_delta(event)
    after = replace(after, open_findings=max(0, findings))
    if event.commit is not None:
        after = replace(after, last_commit=event.commit)
    if event.by_human or _is_progress(before, event):
        return replace(after, turns=0, progress_at=now, stalled=False)
    return replace(after, turns=after.turns + (1 if is_turn(before, event.sender) else 0))


def _is_progress(thread: Thread, event: Posted) -> bool:
    if event.event_type == "fix_pushed":
        return event.commit is not None and event.commit != thread.last_commit
    if event.event_type in ("finding_verified", "finding_rejected"):
        return event.finding is not None and event.finding.status in (FindingStatus.OPEN, FindingStatus.FIXED)
    return event.event_type == "decision"


def _finding_delta(event: Posted) -> int:
    status = event.finding.status if event.finding else None
    is_open = status in (FindingStatus.OPEN, FindingStatus.FIXED)
    if event.event_type == "finding_reported":
        return 0 if is_open else 1
    if event.event_type in ("finding_verified", "finding_rejected"):
        return -1 if is_open else 0
    return 0


def _circle(thread: Thread, event: Posted, policy: Policy) -> tuple[str, str] | None:
    """The kind of circle that this post closes, and its words."""
    if (
        event.event_type == "finding_reported"
        and event.finding
        and event.finding.reports + 1 >= policy.findings_max
    ):
        return "finding", f"the same finding was reported {event.finding.reports + 1} times"
    limit = policy.turns_limit(thread.participants)
    if thread.turns >= limit:
        return "turns", f"{thread.turns} turns without progress"
    return None


def _status(thread: Thread, event: StatusAsked, policy: Policy, now: datetime) -> Decision:
    del policy
    if event.expected is not None and event.expected is not thread.status:
        raise Conflict(
            f"the thread is {thread.status} by now", thread_id=thread.thread_id, status=thread.status.value
        )
    if event.status is thread.status:
        return Decision(thread)
    if event.status not in LEGAL_STATUS[thread.status]:
        raise InvalidTransition(_cannot_become(thread.status, event.status))
    _check_close(thread, event)
    after = replace(thread, status=event.status, turns=0, progress_at=now, stalled=False, blocked_reason=None)
    said = Say(f"{event.by} set the thread to {event.status}: {event.reason}")
    if event.status is S.BLOCKED:
        blocked = replace(after, blocked_reason=event.reason)
        note = Notify(f"blocked:{thread.thread_id}", f"blocked by {event.by}: {event.reason}")
        return Decision(blocked, (said, CancelWakes(f"the thread was blocked: {event.reason}"), note))
    if event.status is S.CLOSED:
        after = replace(after, escalation=None)
        return Decision(after, (said, CancelWakes(f"the thread was closed: {event.reason}")))
    if event.status is S.ACTIVE and thread.status is S.BLOCKED:
        return Decision(after, (said, OpenUnread()))
    return Decision(after, (said,))


def _cannot_become(old: ThreadStatus, new: ThreadStatus) -> str:
    legal = " or ".join(status for status in S if status in LEGAL_STATUS[old])
    return f"a thread that is {old} cannot become {new}" + (f", only {legal}" if legal else ": that is final")


def _check_close(thread: Thread, event: StatusAsked) -> None:
    disputed = thread.open_findings > 0 or thread.escalated or thread.status in (S.ACTIVE, S.BLOCKED)
    if event.status is S.CLOSED and disputed and event.role is not Role.OPERATOR:
        raise InsufficientAuthority("only an operator closes a thread that is not resolved, or is disputed")
    if event.status in (S.CLOSED, S.BLOCKED) and not event.reason.strip():
        raise InsufficientAuthority("give a reason")


def _escalate(thread: Thread, event: EscalationAsked, policy: Policy, now: datetime) -> Decision:
    """A notice to the operators and the owner; in the thread a message, which wakes an owner that takes part."""
    del policy
    old = thread.escalation
    if old is not None:
        if (old.owner, old.reason) == (event.owner, event.reason):
            return Decision(thread)
        _check_escalation(old, event.by, event.role)
    after = replace(thread, escalation=Escalation(event.by, event.owner, event.reason, now))
    to = f" to {event.owner}" if event.owner else ""
    text = f"{event.by} escalated the thread{to}: {event.reason}"
    facts = event.owner_facts
    addressed = event.owner if facts.takes_part else None
    wakes = facts.takes_part and (facts.is_human or thread.status is not S.BLOCKED)
    said = Say(f"{text}\n{event.about}" if event.about else text, to=addressed, wakes=wakes)
    note = Notify(f"escalated:{thread.thread_id}", text, tell_sender=False, also=event.owner)
    return Decision(after, (said, note))


def _escalate_closed(thread: Thread, event: EscalationAsked, policy: Policy, now: datetime) -> Decision:
    del event, policy, now
    raise ThreadNotOpen(thread_id=thread.thread_id)


def _end_escalation(thread: Thread, event: EscalationEnded, policy: Policy, now: datetime) -> Decision:
    del policy, now
    if thread.escalation is None:
        raise InvalidTransition("the thread is not escalated", thread_id=thread.thread_id)
    _check_escalation(thread.escalation, event.by, event.role)
    said = Say(f"{event.by} ended the escalation" + (f": {event.reason}" if event.reason else ""))
    return Decision(replace(thread, escalation=None), (said,))


def _check_escalation(escalation: Escalation, by: str, role: Role) -> None:
    if role is not Role.OPERATOR and by not in (escalation.by, escalation.owner):
        raise InsufficientAuthority(
            f"{escalation.by} escalated the thread: an operator reassigns or ends that, or who raised or owns it"
        )


def _stall(thread: Thread, event: StallChecked, policy: Policy, now: datetime) -> Decision:
    del event
    quiet = now - thread.progress_at
    if thread.open_findings == 0 or thread.stalled or quiet < timedelta(seconds=policy.stall_after_s):
        return Decision(thread)
    text = f"{thread.open_findings} open findings and no progress for {quiet.total_seconds():.0f} s"
    raised = thread.escalation or Escalation(BRIDGE, None, text, now)
    stalled = replace(thread, stalled=True, escalation=raised)
    note = Notify(f"stalled:{thread.thread_id}", text, tell_sender=False, loop="stall")
    return Decision(stalled, (note,))


def _nothing(thread: Thread, event: StallChecked, policy: Policy, now: datetime) -> Decision:
    del event, policy, now
    return Decision(thread)


Rule = Callable[[Thread, Any, Policy, datetime], Decision]
TRANSITIONS: dict[tuple[ThreadStatus, type[Any]], Rule] = {
    (S.ACTIVE, Posted): _post,
    (S.RESOLVED, Posted): _post,
    (S.BLOCKED, Posted): _post_blocked,
    (S.CLOSED, Posted): _post_closed,
    (S.ACTIVE, StatusAsked): _status,
    (S.RESOLVED, StatusAsked): _status,
    (S.BLOCKED, StatusAsked): _status,
    (S.CLOSED, StatusAsked): _status,
    (S.ACTIVE, EscalationAsked): _escalate,
    (S.RESOLVED, EscalationAsked): _escalate,
    (S.BLOCKED, EscalationAsked): _escalate,
    (S.CLOSED, EscalationAsked): _escalate_closed,
    (S.ACTIVE, EscalationEnded): _end_escalation,
    (S.RESOLVED, EscalationEnded): _end_escalation,
    (S.BLOCKED, EscalationEnded): _end_escalation,
    (S.CLOSED, EscalationEnded): _end_escalation,
    (S.ACTIVE, StallChecked): _stall,
    (S.RESOLVED, StallChecked): _nothing,
    (S.BLOCKED, StallChecked): _nothing,
    (S.CLOSED, StallChecked): _nothing,
}
