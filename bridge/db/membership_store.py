"""Making threads and changing who takes part in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from bridge.core.states import ThreadType
from bridge.db.thread_store import LockedThread
from bridge.db.uow import UnitOfWork

_INSERT = text("""
INSERT INTO threads (thread_id, workspace_id, title, type, status, participants, progress_at, created_by, audit_n,
    audit_head, created_at, updated_at)
VALUES (:thread_id, :workspace_id, :title, :type, 'active', :count, :now, :created_by, :n, :head, :now, :now)
""")
_KNOW = text("""
INSERT INTO agents (workspace_id, agent_id, created_at, updated_at)
SELECT :workspace_id, agent_id, :now, :now FROM unnest(CAST(:agent_ids AS text[])) agent_id ORDER BY agent_id
ON CONFLICT DO NOTHING
""")
_JOIN = text("""
INSERT INTO participants (thread_id, agent_id, workspace_id, role, joined_at)
SELECT :thread_id, p.agent_id, :workspace_id, p.role, :now
FROM unnest(CAST(:agent_ids AS text[]), CAST(:roles AS text[])) AS p (agent_id, role) ORDER BY p.agent_id
ON CONFLICT (thread_id, agent_id) DO UPDATE SET role = excluded.role
RETURNING (xmax = 0) AS joined
""")
_LEAVE = text("DELETE FROM participants WHERE thread_id = :thread_id AND agent_id = :agent_id RETURNING role")
_COUNT = text("""
UPDATE threads SET participants = participants + :change, audit_n = :n, audit_head = :head, updated_at = :now
WHERE thread_id = :thread_id
""")

Member = tuple[str, str | None]
"""An agent and the role it is addressed by."""


def insert_thread(
    uow: UnitOfWork,
    thread_id: str,
    title: str,
    kind: ThreadType,
    members: Sequence[Member],
    by: str,
    now: datetime,
) -> None:
    """A new thread with its participants, audited."""
    after = {"title": title, "type": kind.value, "participants": [list(member) for member in members]}
    said = uow.said("thread", thread_id, "thread.created", {}, after)
    n, head = uow.audit(said, n=0, head=None, at=now)
    params = {
        "thread_id": thread_id,
        "workspace_id": uow.workspace_id,
        "title": title,
        "type": kind.value,
        "count": len(members),
        "created_by": by,
        "n": n,
        "head": head,
        "now": now,
    }
    uow.run(_INSERT, params)
    join(uow, thread_id, members, now)


def join(uow: UnitOfWork, thread_id: str, members: Sequence[Member], now: datetime) -> int:
    """Add participants, or give those who are there another role; how many are new."""
    params = {
        "thread_id": thread_id,
        "workspace_id": uow.workspace_id,
        "agent_ids": [agent_id for agent_id, _ in members],
        "roles": [role for _, role in members],
        "now": now,
    }
    joined = sum(bool(row) for row in uow.run(_JOIN, params).scalars())
    uow.run(_KNOW, params)
    return joined


def leave(uow: UnitOfWork, thread_id: str, agent_id: str) -> bool:
    """Take a participant out; False when it was none."""
    return bool(uow.run(_LEAVE, {"thread_id": thread_id, "agent_id": agent_id}).rowcount)


def note_members(
    uow: UnitOfWork,
    locked: LockedThread,
    what: str,
    *,
    was: Member | None,
    now_is: Member | None,
    change: int,
    now: datetime,
) -> None:
    """Count the change on the locked thread and audit it: who took part before and does now, and as what."""
    thread_id = locked.thread.thread_id
    before, after = ({"agent_id": one[0], "role": one[1]} if one else {} for one in (was, now_is))
    said = uow.said("thread", thread_id, f"thread.{what}", before, after)
    n, head = uow.audit(said, n=locked.row["audit_n"], head=locked.row["audit_head"], at=now)
    uow.run(_COUNT, {"thread_id": thread_id, "change": change, "n": n, "head": head, "now": now})
