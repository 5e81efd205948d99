"""Agents that are services: whom a host's presets are bound to, and their sessions, across workspaces.

A service's session is the bridge's own: its id is made here, stands in no token, and is the agent's for good.
"""
# ruff: noqa: S608 - every part of the statements is a constant of ours

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text

from bridge.core.host import BoundService
from bridge.db.agent_store import lock_agent
from bridge.db.keeper import Keeping
from bridge.db.uow import Database, UnitOfWork

WEBHOOK = "webhook"
SERVICES_MAX = 1_000

_BOUND = f"""
SELECT a.workspace_id, a.agent_id, a.preset, s.session_id, coalesce(s.term, 0) AS term,
    coalesce(s.attached AND s.host = :host AND a.seat_session_id = s.session_id, false) AS seated,
    EXISTS (SELECT FROM sessions o WHERE o.workspace_id = a.workspace_id AND o.session_id = a.seat_session_id
        AND o.session_id IS DISTINCT FROM s.session_id AND (o.attached OR EXISTS (SELECT FROM runs r
            WHERE r.workspace_id = o.workspace_id AND r.session_id = o.session_id AND r.state <> 'ended'))) AS taken
FROM agents a LEFT JOIN LATERAL (SELECT w.session_id, w.term, w.attached, w.host FROM sessions w
    WHERE w.workspace_id = a.workspace_id AND w.agent_id = a.agent_id AND w.runtime = '{WEBHOOK}'
        AND w.term > 0 ORDER BY w.created_at, w.session_id LIMIT 1) s ON true
WHERE a.workspace_id = :workspace_id AND a.host = :host AND a.preset = ANY(:presets) AND NOT a.disabled
"""
_ALL = text(f"{_BOUND} ORDER BY a.agent_id LIMIT :most")
_ONE = text(f"{_BOUND} AND a.agent_id = :agent_id")


class BoundServices:
    """The services that a host's presets are bound to, as the database knows them."""

    def __init__(self, db: Database, keeping: Keeping) -> None:
        self._db, self._keeping = db, keeping

    def bound(self, host: str, presets: Sequence[str]) -> list[BoundService]:
        """Agents of this host with one of these presets that are not disabled, in every workspace."""
        workspaces = self._keeping.workspaces() if presets else []
        return [found for workspace_id in workspaces for found in self._of(workspace_id, host, presets)]

    def _of(self, workspace_id: str, host: str, presets: Sequence[str]) -> list[BoundService]:
        params = {
            "workspace_id": workspace_id,
            "host": host,
            "presets": list(presets),
            "most": SERVICES_MAX,
        }
        with self._db.unit(workspace_id) as uow:
            return [BoundService(**row) for row in uow.run(_ALL, params).mappings()]


def lock_bound(uow: UnitOfWork, agent_id: str, host: str, preset: str) -> BoundService | None:
    """The agent under its lock, None unless it is bound to this preset of this host, and is not disabled."""
    if lock_agent(uow, agent_id) is None:
        return None
    params = {"workspace_id": uow.workspace_id, "host": host, "presets": [preset], "agent_id": agent_id}
    # In a statement after the lock: a terminal that took the seat meanwhile is seen.
    row = uow.run(_ONE, params).mappings().one_or_none()
    return None if row is None else BoundService(**row)
