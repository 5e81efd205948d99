"""Telling operators and senders: one open notice per cause and audience, counted, never a flood."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from bridge.db.uow import UnitOfWork
from bridge.ports.ids import IdSource

TEXT_MAX = 1000
_TELL = text("""
INSERT INTO notices AS n (notice_id, workspace_id, audience, cause, text, thread_id, wake_id, first_at, last_at)
VALUES (:notice_id, :workspace_id, :audience, :cause, :text, :thread_id, :wake_id, :now, :now)
ON CONFLICT (workspace_id, audience, cause) WHERE acked_at IS NULL
DO UPDATE SET count = n.count + 1, text = excluded.text, last_at = excluded.last_at,
    thread_id = excluded.thread_id, wake_id = excluded.wake_id
""")


def tell(
    uow: UnitOfWork,
    ids: IdSource,
    audience: str,
    cause: str,
    words: str,
    now: datetime,
    *,
    thread_id: str | None = None,
    wake_id: str | None = None,
) -> None:
    """Open a notice, or count it to the one that is open."""
    params = {
        "notice_id": ids.new("ntc_"),
        "workspace_id": uow.workspace_id,
        "audience": audience,
        "cause": cause,
        "text": words[:TEXT_MAX],
        "thread_id": thread_id,
        "wake_id": wake_id,
        "now": now,
    }
    uow.run(_TELL, params)
