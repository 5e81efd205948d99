"""What the database knows of an agent as one of its hosts asks for it."""

from __future__ import annotations

from sqlalchemy import text

from bridge.core.host import AgentOnHost
from bridge.db.uow import UnitOfWork

_FIND = text("""
SELECT a.host = :host AS bound, a.is_human,
    EXISTS (SELECT FROM runs r WHERE r.workspace_id = a.workspace_id AND r.agent_id = a.agent_id
        AND r.session_id = :session_id AND r.host = :host AND r.state <> 'ended') AS has_run,
    EXISTS (SELECT FROM sessions s WHERE s.workspace_id = a.workspace_id AND s.session_id = :session_id
        AND s.agent_id <> a.agent_id) AS others_session
FROM agents a WHERE a.workspace_id = :workspace_id AND a.agent_id = :agent_id
""")


def find_on_host(uow: UnitOfWork, host: str, agent_id: str, session_id: str) -> AgentOnHost | None:
    """The agent and that session of it, seen from the host; None when nobody knows the agent."""
    params = {"workspace_id": uow.workspace_id, "host": host, "agent_id": agent_id, "session_id": session_id}
    row = uow.run(_FIND, params).mappings().one_or_none()
    return None if row is None else AgentOnHost(**row)
