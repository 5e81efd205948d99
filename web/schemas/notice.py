"""What operators and senders are told."""

from __future__ import annotations

from web.schemas.base import Answer, Moment, Name, Paged


class NoticeQuery(Paged):
    """Which notices: those that nobody has seen, unless `acked`."""

    acked: bool = False
    audience: Name | None = None


class NoticeAnswer(Answer):
    """One notice, with how often its cause came up."""

    notice_id: str
    audience: str
    cause: str
    text: str
    thread_id: str | None
    wake_id: str | None
    count: int
    first_at: Moment
    last_at: Moment
    acked_at: Moment | None
    acked_by: str | None


class NoticeList(Answer):
    """The latest first."""

    items: list[NoticeAnswer]
    next_cursor: str | None


class AckedNotice(Answer):
    """The notice is closed."""

    notice_id: str
    acked: bool = True
