"""Threads and their participants."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from bridge.core.states import ThreadStatus, ThreadType
from web.schemas.base import (
    Answer,
    Moment,
    Name,
    Paged,
    Part,
    Query,
    Reason,
    Request,
    RoleLabel,
    ScreenedAnswer,
)
from web.schemas.summary import SummaryAnswer

Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$"),
]


class NewParticipant(Part):
    """An agent, and the role it is addressed by."""

    agent_id: Name
    role: RoleLabel | None = None


class CreateThread(Request):
    """A thread to make. Whoever makes it takes part only if it is listed."""

    title: Title
    type: ThreadType = ThreadType.CONVERSATION
    participants: Annotated[list[NewParticipant], Field(max_length=10_000)] = Field(default_factory=list)


class AddParticipant(Request):
    """An agent that is to take part, or a participant's other role."""

    agent_id: Name
    role: RoleLabel | None = None


class SetStatus(Request):
    """The status asked for; with `expected`, only if it is that now."""

    status: ThreadStatus
    reason: Reason
    expected: ThreadStatus | None = None


class Escalate(Request):
    """Somebody has to decide: `owner_agent_id`, or any operator where none is named."""

    reason: Reason
    owner_agent_id: Name | None = None


class EndEscalationQuery(Query):
    """How it was decided."""

    reason: Reason | None = None


class ThreadQuery(Paged):
    """Which threads."""

    status: ThreadStatus | None = None
    type: ThreadType | None = None
    participant: Name | None = None
    q: Annotated[str | None, Field(min_length=1, max_length=200)] = None


class ParticipantAnswer(Answer):
    """A participant, and how far it has read."""

    agent_id: str
    role: str | None
    last_read_seq: int
    unread: int
    joined_at: Moment


class EscalationAnswer(Answer):
    """Who escalated the thread, to whom (null: any operator), why and since when."""

    by: str
    owner: str | None
    reason: str
    at: Moment


class ThreadLineAnswer(Answer):
    """A thread in a list; `last_read_seq` and `unread` are the caller's."""

    thread_id: str
    title: str
    type: str
    status: str
    last_seq: int
    participant_count: int
    turns: int
    open_findings: int
    escalated: bool
    escalation: EscalationAnswer | None
    stalled: bool
    blocked_reason: str | None
    created_by: str
    created_at: Moment
    updated_at: Moment
    last_read_seq: int | None
    unread: int | None


class ThreadAnswer(ThreadLineAnswer, ScreenedAnswer):
    """A thread with everybody who takes part."""

    participants: list[ParticipantAnswer]


class EscalatedAnswer(ThreadAnswer):
    """The thread, and its summary as the owner was told it."""

    summary: SummaryAnswer


class ThreadList(Answer):
    """The newest first."""

    items: list[ThreadLineAnswer]
    next_cursor: str | None
