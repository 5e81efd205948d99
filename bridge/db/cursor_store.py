"""Cursors: how far each participant has read. They only move forward."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from bridge.core.errors import NotFound
from bridge.db.uow import UnitOfWork


@dataclass(frozen=True, slots=True)
class Position:
    """Where a thread ends, and how far the agent has read; None when it takes no part."""

    last_seq: int
    last_read_seq: int | None
    unreachable: bool = False  # the agent's breaker is open


_READ = text("""
SELECT t.last_seq, p.last_read_seq, EXISTS (SELECT FROM agents a WHERE a.workspace_id = t.workspace_id
    AND a.agent_id = :agent_id AND a.probe_at IS NOT NULL) AS unreachable
FROM threads t
LEFT JOIN participants p ON p.thread_id = t.thread_id AND p.agent_id = :agent_id WHERE t.thread_id = :thread_id
""")
_MOVE = text("""
UPDATE participants SET last_read_seq = :cursor
WHERE thread_id = :thread_id AND agent_id = :agent_id AND last_read_seq < :cursor
""")


def position(uow: UnitOfWork, thread_id: str, agent_id: str) -> Position:
    """Where the agent stands in the thread. Raises NotFound."""
    row = uow.run(_READ, {"thread_id": thread_id, "agent_id": agent_id}).mappings().one_or_none()
    if row is None:
        raise NotFound(thread_id=thread_id)
    return Position(row["last_seq"], row["last_read_seq"], row["unreachable"])


def move_forward(uow: UnitOfWork, thread_id: str, agent_id: str, cursor: int) -> bool:
    """Move the cursor there; False when it is there already, or further."""
    params = {"thread_id": thread_id, "agent_id": agent_id, "cursor": cursor}
    return bool(uow.run(_MOVE, params).rowcount)
