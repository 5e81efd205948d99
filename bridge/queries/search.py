"""Messages by their words, the newest first: one function of the database, which joins membership first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, text

from bridge.core.authority import Action, check, needs_membership
from bridge.core.caller import Caller
from bridge.core.search import Wanted, snippet, wanted
from bridge.db.deps import Deps


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """One message that was found: where it is, and the part that shows why."""

    message_id: str
    thread_id: str
    title: str
    seq: int
    kind: str
    event_type: str | None
    sender_agent_id: str
    created_at: datetime
    snippet: str
    marks: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class SearchPage:
    """The newest first."""

    items: tuple[FoundMessage, ...]
    mark: tuple[datetime, str] | None


_SEARCH = text("""
SELECT message_id, thread_id, title, seq, kind, event_type, sender_agent_id, created_at, said FROM bridge_search(
    :query, :agent_id, :thread, :sender, :kind, CAST(:since AS timestamptz), CAST(:until AS timestamptz),
    CAST(:at AS timestamptz), :after, :limit)
""")


def search_messages(
    deps: Deps,
    caller: Caller,
    q: str,
    *,
    thread: str | None = None,
    sender: str | None = None,
    kind: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
    after: tuple[datetime, str] | None = None,
) -> SearchPage:
    """In the caller's threads, or all of the workspace where its role says so. Raises InvalidArgument, Forbidden."""
    check(Action.READ_THREAD, caller.role, own=True)
    asked = wanted(q)
    at, message_id = after or (None, None)
    params: dict[str, Any] = {
        "query": asked.query,
        "agent_id": caller.agent_id if needs_membership(Action.READ_THREAD, caller.role) else None,
        "thread": thread,
        "sender": sender,
        "kind": kind,
        "since": since,
        "until": until,
        "at": at,
        "after": message_id,
        "limit": limit + 1,
    }
    with deps.unit(caller.workspace_id, caller) as uow:
        rows = uow.run(_SEARCH, params).mappings().all()
    items = tuple(_found(row, asked) for row in rows[:limit])
    return SearchPage(items, (items[-1].created_at, items[-1].message_id) if len(rows) > limit else None)


def _found(row: RowMapping, asked: Wanted) -> FoundMessage:
    part = snippet(row["said"], asked.words)
    named = {name: value for name, value in row.items() if name != "said"}
    return FoundMessage(**named, snippet=part.text, marks=part.marks)
