"""Agents: where they are, whether they can be reached, and the session that live wakes go to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from bridge.core.caller import Caller
from bridge.core.errors import NotFound
from bridge.db.deps import Deps


@dataclass(frozen=True, slots=True)
class AgentView:
    """One agent. `seat_*` is the session that live wakes go to; `unreachable_since` while its breaker is open.

    `seat_held_until` while somebody holds that session.
    """

    agent_id: str
    host: str
    is_human: bool
    preset: str | None
    disabled: bool
    unreachable_since: datetime | None
    probe_at: datetime | None
    listening_until: datetime | None
    seat_session_id: str | None
    seat_runtime: str | None
    seat_status: str | None
    seat_attached: bool
    seat_heartbeat_at: datetime | None
    seat_held_until: datetime | None
    seat_held_by: str | None
    open_wakes: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AgentPage:
    """In order of their names."""

    items: tuple[AgentView, ...]
    mark: tuple[datetime, str] | None


_SELECT = """
SELECT a.agent_id, a.host, a.is_human, a.preset, a.disabled, a.unreachable_since, a.probe_at, a.listening_until,
    a.seat_session_id, s.runtime AS seat_runtime, s.status AS seat_status, coalesce(s.attached, false) AS seat_attached,
    s.heartbeat_at AS seat_heartbeat_at, h.held_until AS seat_held_until, h.held_by AS seat_held_by, a.created_at,
    (SELECT count(*) FROM wakes w WHERE w.workspace_id = a.workspace_id AND w.agent_id = a.agent_id
        AND w.state IN ('pending', 'delivering', 'touching', 'waiting')) AS open_wakes
FROM agents a LEFT JOIN sessions s ON s.workspace_id = a.workspace_id AND s.session_id = a.seat_session_id
LEFT JOIN LATERAL (SELECT s.held_until, s.held_by WHERE s.held_until > bridge_now()) h ON true
WHERE a.workspace_id = :workspace_id
"""
_LIST = text(f"""{_SELECT}
    AND (CAST(:host AS text) IS NULL OR a.host = :host)
    AND (CAST(:after AS text) IS NULL OR a.agent_id > :after)
ORDER BY a.agent_id LIMIT :limit
""")
_ONE = text(f"{_SELECT} AND a.agent_id = :agent_id")


def list_agents(
    deps: Deps,
    caller: Caller,
    *,
    host: str | None = None,
    limit: int = 50,
    after: tuple[datetime, str] | None = None,
) -> AgentPage:
    """The workspace's agents."""
    params = {
        "workspace_id": caller.workspace_id,
        "host": host,
        "after": after[1] if after else None,
        "limit": limit + 1,
    }
    with deps.unit(caller.workspace_id, caller) as uow:
        found = [AgentView(**row) for row in uow.run(_LIST, params).mappings()]
    items = tuple(found[:limit])
    return AgentPage(items, (items[-1].created_at, items[-1].agent_id) if len(found) > limit else None)


def get_agent(deps: Deps, caller: Caller, agent_id: str) -> AgentView:
    """One agent. Raises NotFound."""
    with deps.unit(caller.workspace_id, caller) as uow:
        params = {"workspace_id": caller.workspace_id, "agent_id": agent_id}
        row = uow.run(_ONE, params).mappings().one_or_none()
    if row is None:
        raise NotFound(agent_id=agent_id)
    return AgentView(**row)
