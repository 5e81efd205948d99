"""Threads as people and agents read them: lists, one with its participants, and who takes part."""
# ruff: noqa: S608 - every part of the statements is a constant of ours

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, text

from bridge.core.authority import Action, check, needs_membership
from bridge.core.caller import Caller
from bridge.core.errors import NotFound
from bridge.core.thread import Escalation
from bridge.db.deps import Deps
from bridge.db.thread import escalation_of
from bridge.db.uow import UnitOfWork

UNREAD_MAX = 1000
"""Unread messages are counted up to here."""
TITLES_MAX = 5000
"""Threads whose titles one page of a list looks at."""

# What is for a participant: not its own, addressed to it or to all; of the server's own only what names it.
FOR_AGENT = """m.sender_agent_id <> p.agent_id AND (m.to_agents IS NULL OR p.agent_id = ANY (m.to_agents))
    AND (m.to_role IS NULL OR m.to_role = p.role) AND (m.kind <> 'system' OR p.agent_id = ANY (m.to_agents))"""
UNREAD = f"""(SELECT count(*) FROM (SELECT FROM messages m WHERE m.thread_id = p.thread_id
    AND m.seq > p.last_read_seq AND {FOR_AGENT} LIMIT {UNREAD_MAX}) u)"""


@dataclass(frozen=True, slots=True)
class ParticipantView:
    """A participant, and how far it has read."""

    agent_id: str
    role: str | None
    last_read_seq: int
    unread: int
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class ThreadLine:
    """A thread in a list. `unread` and `last_read_seq` are the caller's; None where it takes no part."""

    thread_id: str
    title: str
    type: str
    status: str
    last_seq: int
    participant_count: int
    turns: int
    open_findings: int
    escalated: bool
    escalation: Escalation | None
    stalled: bool
    blocked_reason: str | None
    created_by: str
    created_at: datetime
    updated_at: datetime
    last_read_seq: int | None
    unread: int | None


@dataclass(frozen=True, slots=True)
class ThreadView(ThreadLine):
    """A thread with everybody who takes part."""

    participants: tuple[ParticipantView, ...] = ()


@dataclass(frozen=True, slots=True)
class ThreadPage:
    """The newest first; `mark` is where the next page begins. It may be there after a page that is not full."""

    items: tuple[ThreadLine, ...]
    mark: tuple[datetime, str] | None


_COLUMNS = f"""t.thread_id, t.title, t.type, t.status, t.last_seq, t.participants AS participant_count, t.turns,
    t.open_findings, t.escalated, t.escalated_by, t.escalated_to, t.escalated_why, t.escalated_at, t.progress_at,
    t.stalled, t.blocked_reason, t.created_by, t.created_at, t.updated_at, p.last_read_seq,
    CASE WHEN p.agent_id IS NOT NULL THEN {UNREAD} END AS unread"""
_FILTERS = """(CAST(:status AS text) IS NULL OR t.status = :status) AND (CAST(:type AS text) IS NULL OR t.type = :type)
    AND (CAST(:participant AS text) IS NULL OR EXISTS (
        SELECT FROM participants o WHERE o.thread_id = t.thread_id AND o.agent_id = :participant))
    AND (CAST(:at AS timestamptz) IS NULL OR (t.created_at, t.thread_id) < (CAST(:at AS timestamptz), :after))
    ORDER BY t.created_at DESC, t.thread_id DESC LIMIT :looked"""
_IN_WORKSPACE = f"""
WITH looked AS MATERIALIZED (SELECT t.* FROM threads t WHERE t.workspace_id = :workspace_id AND {_FILTERS})
"""
_OF_MEMBER = f"""
WITH looked AS MATERIALIZED (SELECT t.* FROM participants m JOIN threads t ON t.thread_id = m.thread_id
    WHERE m.workspace_id = :workspace_id AND m.agent_id = :member AND {_FILTERS})
"""
_PAGE = f"""
SELECT {_COLUMNS} FROM looked t LEFT JOIN participants p ON p.thread_id = t.thread_id AND p.agent_id = :agent_id
WHERE CAST(:q AS text) IS NULL OR strpos(lower(t.title), lower(:q)) > 0
ORDER BY t.created_at DESC, t.thread_id DESC LIMIT :limit
"""
_END = "SELECT created_at, thread_id FROM looked ORDER BY created_at DESC, thread_id DESC OFFSET :looked - 1 LIMIT 1"
_LIST, _LIST_END = text(_IN_WORKSPACE + _PAGE), text(_IN_WORKSPACE + _END)
_MEMBER_LIST, _MEMBER_LIST_END = text(_OF_MEMBER + _PAGE), text(_OF_MEMBER + _END)
_ONE = text(f"""
SELECT {_COLUMNS} FROM threads t
LEFT JOIN participants p ON p.thread_id = t.thread_id AND p.agent_id = :agent_id WHERE t.thread_id = :thread_id
""")
_PARTICIPANTS = text(f"""
SELECT p.agent_id, p.role, p.last_read_seq, {UNREAD} AS unread, p.joined_at FROM participants p
WHERE p.thread_id = :thread_id ORDER BY p.agent_id LIMIT 1000
""")
_MEMBER = text("""
SELECT p.agent_id IS NOT NULL FROM threads t
LEFT JOIN participants p ON p.thread_id = t.thread_id AND p.agent_id = :agent_id WHERE t.thread_id = :thread_id
""")


def list_threads(
    deps: Deps,
    caller: Caller,
    *,
    status: str | None = None,
    type: str | None = None,  # noqa: A002  its name on the wire
    participant: str | None = None,
    q: str | None = None,
    limit: int = 50,
    after: tuple[datetime, str] | None = None,
) -> ThreadPage:
    """The newest first; the caller's own where its role says so. With `q`, a page looks at `TITLES_MAX` titles."""
    at, thread_id = after or (None, None)
    member = caller.agent_id if needs_membership(Action.READ_THREAD, caller.role) else participant
    looked = TITLES_MAX if q is not None else limit + 1
    params: dict[str, Any] = {
        "workspace_id": caller.workspace_id,
        "agent_id": caller.agent_id,
        "member": member,
        "status": status,
        "type": type,
        "participant": participant,
        "q": q,
        "at": at,
        "after": thread_id,
        "looked": looked,
        "limit": limit + 1,
    }
    page, end = (_LIST, _LIST_END) if member is None else (_MEMBER_LIST, _MEMBER_LIST_END)
    with deps.unit(caller.workspace_id, caller) as uow:
        found = [ThreadLine(**_line(row)) for row in uow.run(page, params).mappings()]
        last = uow.run(end, params).one_or_none() if q is not None and len(found) <= limit else None
    items = tuple(found[:limit])
    mark = (items[-1].created_at, items[-1].thread_id) if len(found) > limit else None
    return ThreadPage(items, (last.created_at, last.thread_id) if last else mark)


def get_thread(deps: Deps, caller: Caller, thread_id: str) -> ThreadView:
    """One thread. Raises NotFound, and Forbidden where the role reads only its own threads."""
    with deps.unit(caller.workspace_id, caller) as uow:
        params = {"thread_id": thread_id, "agent_id": caller.agent_id}
        row = uow.run(_ONE, params).mappings().one_or_none()
        if row is None:
            raise NotFound(thread_id=thread_id)
        check(Action.READ_THREAD, caller.role, own=row["last_read_seq"] is not None)
        people = tuple(_participant(found) for found in uow.run(_PARTICIPANTS, params).mappings())
    return ThreadView(**_line(row), participants=people)


def is_participant(deps: Deps, caller: Caller, thread_id: str) -> bool:
    """Whether the caller takes part. Raises NotFound."""
    with deps.unit(caller.workspace_id, caller) as uow:
        return takes_part(uow, caller, thread_id)


def takes_part(uow: UnitOfWork, caller: Caller, thread_id: str) -> bool:
    """As is_participant, in a transaction that is open."""
    found = uow.run(_MEMBER, {"thread_id": thread_id, "agent_id": caller.agent_id}).scalar_one_or_none()
    if found is None:
        raise NotFound(thread_id=thread_id)
    return bool(found)


def _line(row: RowMapping) -> dict[str, Any]:
    columns = ("escalated_by", "escalated_to", "escalated_why", "escalated_at", "progress_at")
    shown = {name: value for name, value in row.items() if name not in columns}
    return shown | {"escalation": escalation_of(row)}


def _participant(row: RowMapping) -> ParticipantView:
    return ParticipantView(**row)
