"""A thread's summary."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bridge.core.summary import MESSAGES_DEFAULT, MESSAGES_MAX
from web.schemas.base import Answer, Moment, Query


class SummaryQuery(Query):
    """How many key messages, at most."""

    max_messages: Annotated[int, Field(ge=1, le=MESSAGES_MAX)] = MESSAGES_DEFAULT


class FindingAnswer(Answer):
    """A finding as it was first reported, and how it stands."""

    finding_id: str
    status: str
    reports: int
    opened_seq: int
    reported_by: str | None
    severity: str | None
    file: str | None
    line: int | None
    text: str
    updated_at: Moment


class DecidedAnswer(Answer):
    """What was decided, and by whom."""

    seq: int
    sender_agent_id: str
    text: str
    created_at: Moment


class StatusChangeAnswer(Answer):
    """The last time that the thread's status changed."""

    status: str
    was: str | None
    by: str
    why: str | None
    at: Moment


class KeyMessageAnswer(Answer):
    """A message that matters: an excerpt, the reasons, and who has not answered it yet."""

    seq: int
    message_id: str
    kind: str
    event_type: str | None
    sender_agent_id: str
    to: list[str] | None
    to_role: str | None
    in_reply_to: str | None
    text: str
    by_human: bool
    created_at: Moment
    waits_for: list[str]
    why: list[str]


class SummaryAnswer(Answer):
    """How a thread stands. Messages before `from_seq` were not looked at; findings are of the whole thread."""

    thread_id: str
    title: str
    type: str
    status: str
    last_seq: int
    from_seq: int
    escalated: bool
    stalled: bool
    blocked_reason: str | None
    last_status: StatusChangeAnswer | None
    open_findings: list[FindingAnswer]
    closed_findings: list[FindingAnswer]
    more_findings: bool
    decisions: list[DecidedAnswer]
    key_messages: list[KeyMessageAnswer]
