"""What waits for the caller."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from web.schemas.base import WAIT_S_MAX, Answer, Moment, Query
from web.schemas.notice import NoticeAnswer


class InboxQuery(Query):
    """`wait_s` waits for something unread when there is nothing."""

    wait_s: Annotated[float, Field(ge=0, le=WAIT_S_MAX, allow_inf_nan=False)] = 0


class InboxThreadAnswer(Answer):
    """A thread with something unread."""

    thread_id: str
    title: str
    status: str
    last_seq: int
    last_read_seq: int
    unread: int
    first_unread_seq: int
    last_sender: str
    last_at: Moment
    wake_id: str | None


class InboxAnswer(Answer):
    """The thread that waits longest first."""

    agent_id: str
    unread: int
    items: list[InboxThreadAnswer]
    more: bool
    notices: list[NoticeAnswer]
    elicitations: list[Any]
    protocol: str
