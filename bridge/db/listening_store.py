"""Until when an agent listens: a column that is renewed often and never audited."""

from __future__ import annotations

from sqlalchemy import text

from bridge.db.uow import UnitOfWork

_NOTE = text("""
INSERT INTO agents (workspace_id, agent_id, listening_until, created_at, updated_at)
VALUES (:workspace_id, :agent_id, bridge_now() + make_interval(secs => :for_s), bridge_now(), bridge_now())
ON CONFLICT (workspace_id, agent_id) DO UPDATE SET listening_until = excluded.listening_until
""")


def store_listening(uow: UnitOfWork, agent_id: str, for_s: float) -> None:
    """Note it on the agent's row."""
    uow.run(_NOTE, {"workspace_id": uow.workspace_id, "agent_id": agent_id, "for_s": for_s})
