"""A thread's summary: findings, decisions, the last status change, and the messages that matter most.

Rules of this file:

- Values in, a Summary out: the same facts give the same summary, with no opinion of anybody's in it.
- Key messages are taken in turns, one of each kind of reason and then the next of each: no reason crowds out another,
  and a longer summary has all that a shorter one had.
- A message *waits for* those it is addressed to (`to`, `to_role`) who have not answered it: no message of theirs is a
  reply to it, and, once they have read it, they have posted nothing after it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from bridge.core.quoting import label
from bridge.core.states import FindingStatus, MessageKind, ThreadStatus

MESSAGES_MAX = 100
MESSAGES_DEFAULT = 20
EXCERPT_CHARS_MAX = 500
OPEN_MAX, CLOSED_MAX, DECISIONS_MAX = 50, 20, 20
BRIEF_FINDINGS_MAX, BRIEF_MESSAGES_MAX = 5, 3
FINDING_OPEN = frozenset({FindingStatus.OPEN, FindingStatus.FIXED})
"""A pushed fix is not yet verified."""


class Why(StrEnum):
    """Why a message is a key message."""

    UNANSWERED = "unanswered"  # addressed, and somebody it is for has not answered
    NEWEST = "newest"  # for nothing else
    HUMAN = "human"  # a human wrote it
    EVENT = "event"
    OPENING = "opening"  # the first one says what the thread is about


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding as it was first reported, and how it stands."""

    finding_id: str
    status: FindingStatus
    reports: int
    opened_seq: int
    reported_by: str | None
    severity: str | None
    file: str | None
    line: int | None
    text: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided, and by whom."""

    seq: int
    sender_agent_id: str
    text: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StatusChange:
    """The last time that the thread's status changed."""

    status: str
    was: str | None
    by: str
    why: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class KeyMessage:
    """A message that may be, or is, a key message: an excerpt of it."""

    seq: int
    message_id: str
    kind: MessageKind
    event_type: str | None
    sender_agent_id: str
    to: tuple[str, ...] | None
    to_role: str | None
    in_reply_to: str | None
    text: str
    by_human: bool
    created_at: datetime
    waits_for: tuple[str, ...] = ()
    why: tuple[Why, ...] = ()


@dataclass(frozen=True, slots=True)
class ThreadFacts:
    """What is known of a thread. Messages before `from_seq` were not looked at; findings are of the whole thread."""

    thread_id: str
    title: str
    type: str
    status: ThreadStatus
    last_seq: int
    from_seq: int
    escalated: bool
    stalled: bool
    blocked_reason: str | None
    last_status: StatusChange | None = None
    findings: tuple[Finding, ...] = ()
    decisions: tuple[Decided, ...] = ()
    messages: tuple[KeyMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """How a thread stands. Findings and decisions in the order they came, closed findings the last closed first."""

    thread_id: str
    title: str
    type: str
    status: ThreadStatus
    last_seq: int
    from_seq: int
    escalated: bool
    stalled: bool
    blocked_reason: str | None
    last_status: StatusChange | None
    open_findings: tuple[Finding, ...]
    closed_findings: tuple[Finding, ...]
    more_findings: bool
    decisions: tuple[Decided, ...]
    key_messages: tuple[KeyMessage, ...]


def summarise(facts: ThreadFacts, max_messages: int = MESSAGES_DEFAULT) -> Summary:
    """The summary, with at most so many key messages."""
    is_open = [one for one in facts.findings if one.status in FINDING_OPEN]
    closed = [one for one in facts.findings if one.status not in FINDING_OPEN]
    is_open.sort(key=lambda one: (one.opened_seq, one.finding_id))
    closed.sort(key=lambda one: (one.updated_at, one.opened_seq, one.finding_id), reverse=True)
    decisions = sorted(facts.decisions, key=lambda one: one.seq)[-DECISIONS_MAX:]
    return Summary(
        thread_id=facts.thread_id,
        title=facts.title,
        type=facts.type,
        status=facts.status,
        last_seq=facts.last_seq,
        from_seq=facts.from_seq,
        escalated=facts.escalated,
        stalled=facts.stalled,
        blocked_reason=facts.blocked_reason,
        last_status=facts.last_status,
        open_findings=tuple(is_open[:OPEN_MAX]),
        closed_findings=tuple(closed[:CLOSED_MAX]),
        more_findings=len(is_open) > OPEN_MAX or len(closed) > CLOSED_MAX,
        decisions=tuple(replace(one, text=excerpt(one.text)) for one in decisions),
        key_messages=key_messages(facts.messages, min(max_messages, MESSAGES_MAX)),
    )


def in_brief(summary: Summary) -> tuple[str, ...]:
    """A summary in a few lines, for a message of ours: where to look, and no word of what others wrote.

    A copy of their words would outlive what is redacted.
    """
    marks = ", no progress for long" if summary.stalled else ""
    counted = f"open findings: {len(summary.open_findings)}, decisions: {len(summary.decisions)}"
    findings = [f"{label(one.finding_id)} (seq {one.opened_seq})" for one in summary.open_findings]
    decided = [f"seq {one.seq}, by {label(one.sender_agent_id)}" for one in summary.decisions[-1:]]
    messages = [f"{one.seq} ({label(one.sender_agent_id)})" for one in summary.key_messages]
    return (
        f"{summary.status}{marks}, messages: {summary.last_seq}, {counted}",
        *_listed("open", findings[:BRIEF_FINDINGS_MAX]),
        *_listed("the last decision", decided),
        *_listed("what matters most", messages[-BRIEF_MESSAGES_MAX:]),
        f"the whole summary: bridge summary {summary.thread_id}",
    )


def _listed(what: str, found: list[str]) -> tuple[str, ...]:
    return (f"{what}: {', '.join(found)}",) if found else ()


def key_messages(candidates: tuple[KeyMessage, ...], count: int) -> tuple[KeyMessage, ...]:
    """The `count` messages that matter most, in order of seq, each with the reasons."""
    newest_first = sorted(candidates, key=lambda one: one.seq, reverse=True)
    turns = {why: [one for one in newest_first if why in _reasons(one)] for why in Why}
    chosen: dict[int, KeyMessage] = {}
    while len(chosen) < count and any(turns.values()):
        for waiting in turns.values():
            while waiting and waiting[0].seq in chosen:
                waiting.pop(0)
            if waiting and len(chosen) < count:
                one = waiting.pop(0)
                told = tuple(reason for reason in _reasons(one) if reason is not Why.NEWEST)
                chosen[one.seq] = replace(one, text=excerpt(one.text), why=told or (Why.NEWEST,))
    return tuple(chosen[seq] for seq in sorted(chosen))


def _reasons(message: KeyMessage) -> list[Why]:
    """The reasons there are, in the order of the turns. Any message may be the newest."""
    holds = {
        Why.UNANSWERED: bool(message.waits_for),
        Why.NEWEST: True,
        Why.HUMAN: message.by_human,
        Why.EVENT: message.kind is MessageKind.EVENT,
        Why.OPENING: message.seq == 1,
    }
    return [why for why in Why if holds[why]]


def excerpt(text: str) -> str:
    """The beginning of a text; that it goes on is shown by `…`."""
    return text if len(text) <= EXCERPT_CHARS_MAX else text[: EXCERPT_CHARS_MAX - 1] + "…"
