"""The thread: its status, its counters, and what a post does to it. The post that goes round in circles blocks it.

A *turn* is a message by another sender than the one before. *Progress* (a status change, an event that is no repeat,
a human's message) sets the turns back. A finding's fingerprint is its event type, file, line and normalised text.
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
    escalated: bool = False
    stalled: bool = False
    last_commit: str | None = None
    blocked_reason: str | None = None


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
class StallChecked:
    """The beat tick looks for what no post can find: open findings with no progress."""


Event = Posted | StatusAsked | StallChecked
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
        raise InvalidTransition(f"a thread that is {thread.status} cannot become {event.status}")
    _check_close(thread, event)
    after = replace(thread, status=event.status, turns=0, progress_at=now, stalled=False, blocked_reason=None)
    said = Say(f"{event.by} set the thread to {event.status}: {event.reason}")
    if event.status is S.BLOCKED:
        blocked = replace(after, blocked_reason=event.reason)
        note = Notify(f"blocked:{thread.thread_id}", f"blocked by {event.by}: {event.reason}")
        return Decision(blocked, (said, CancelWakes(f"the thread was blocked: {event.reason}"), note))
    if event.status is S.CLOSED:
        return Decision(after, (said, CancelWakes(f"the thread was closed: {event.reason}")))
    if event.status is S.ACTIVE and thread.status is S.BLOCKED:
        return Decision(after, (said, OpenUnread()))
    return Decision(after, (said,))


def _check_close(thread: Thread, event: StatusAsked) -> None:
    disputed = thread.open_findings > 0 or thread.escalated or thread.status in (S.ACTIVE, S.BLOCKED)
    if event.status is S.CLOSED and disputed and event.role is not Role.OPERATOR:
        raise InsufficientAuthority("only an operator closes a thread that is not resolved, or is disputed")
    if event.status in (S.CLOSED, S.BLOCKED) and not event.reason.strip():
        raise InsufficientAuthority("give a reason")


def _stall(thread: Thread, event: StallChecked, policy: Policy, now: datetime) -> Decision:
    del event
    quiet = now - thread.progress_at
    if thread.open_findings == 0 or thread.stalled or quiet < timedelta(seconds=policy.stall_after_s):
        return Decision(thread)
    text = f"{thread.open_findings} open findings and no progress for {quiet.total_seconds():.0f} s"
    stalled = replace(thread, stalled=True, escalated=True)
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
    (S.ACTIVE, StallChecked): _stall,
    (S.RESOLVED, StallChecked): _nothing,
    (S.BLOCKED, StallChecked): _nothing,
    (S.CLOSED, StallChecked): _nothing,
}
