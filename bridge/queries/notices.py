"""What operators and senders were told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from bridge.core.caller import Caller
from bridge.db.deps import Deps


@dataclass(frozen=True, slots=True)
class NoticeView:
    """One notice: how often its cause came up, and when first and last."""

    notice_id: str
    audience: str
    cause: str
    text: str
    thread_id: str | None
    wake_id: str | None
    count: int
    first_at: datetime
    last_at: datetime
    acked_at: datetime | None
    acked_by: str | None


@dataclass(frozen=True, slots=True)
class NoticePage:
    """The latest first."""

    items: tuple[NoticeView, ...]
    mark: tuple[datetime, str] | None


_LIST = text("""
SELECT notice_id, audience, cause, text, thread_id, wake_id, count, first_at, last_at, acked_at, acked_by FROM notices
WHERE workspace_id = :workspace_id AND (:all OR acked_at IS NULL)
    AND (CAST(:audience AS text) IS NULL OR audience = :audience)
    AND (CAST(:at AS timestamptz) IS NULL OR (last_at, notice_id) < (CAST(:at AS timestamptz), :after))
ORDER BY last_at DESC, notice_id DESC LIMIT :limit
""")


def list_notices(
    deps: Deps,
    caller: Caller,
    *,
    acked: bool = False,
    audience: str | None = None,
    limit: int = 50,
    after: tuple[datetime, str] | None = None,
) -> NoticePage:
    """The workspace's notices; with `acked`, those that were seen too."""
    at, notice_id = after or (None, None)
    params = {
        "workspace_id": caller.workspace_id,
        "all": acked,
        "audience": audience,
        "at": at,
        "after": notice_id,
        "limit": limit + 1,
    }
    with deps.unit(caller.workspace_id, caller) as uow:
        found = [NoticeView(**row) for row in uow.run(_LIST, params).mappings()]
    items = tuple(found[:limit])
    return NoticePage(items, (items[-1].last_at, items[-1].notice_id) if len(found) > limit else None)
