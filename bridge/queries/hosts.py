"""Hosts: when they were last seen, what they hold of this workspace, whether they drain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from bridge.core.caller import Caller
from bridge.db.deps import Deps
from bridge.db.keeper import HOST_TERM_S

HOSTS_MAX = 200


@dataclass(frozen=True, slots=True)
class HostView:
    """One host. Sessions and wakes are those of the caller's workspace."""

    host: str
    seen: bool
    last_seen_at: datetime | None
    draining: bool
    agents: int
    attached_sessions: int
    attempts_in_flight: int
    open_wakes: int


_LIST = text("""
SELECT h.host, coalesce(h.seen_at > bridge_now() - make_interval(secs => :term_s), false) AS seen,
    h.seen_at AS last_seen_at, h.draining,
    (SELECT count(*) FROM agents a WHERE a.workspace_id = :workspace_id AND a.host = h.host) AS agents,
    (SELECT count(*) FROM sessions s WHERE s.workspace_id = :workspace_id AND s.host = h.host AND s.attached)
        AS attached_sessions,
    (SELECT count(*) FROM attempts x JOIN sessions s ON s.workspace_id = x.workspace_id AND s.session_id = x.session_id
        WHERE x.workspace_id = :workspace_id AND s.host = h.host AND x.closed_at IS NULL) AS attempts_in_flight,
    (SELECT count(*) FROM wakes w WHERE w.workspace_id = :workspace_id AND w.host = h.host
        AND w.state IN ('pending', 'delivering', 'touching', 'waiting')) AS open_wakes
FROM hosts h WHERE CAST(:after AS text) IS NULL OR h.host > :after ORDER BY h.host LIMIT :limit
""")


def list_hosts(
    deps: Deps, caller: Caller, *, limit: int = 50, after: str | None = None
) -> tuple[HostView, ...]:
    """In order of their names; one more than `limit` when there are more."""
    params = {
        "workspace_id": caller.workspace_id,
        "term_s": HOST_TERM_S,
        "after": after,
        "limit": min(limit, HOSTS_MAX) + 1,
    }
    with deps.unit(caller.workspace_id, caller) as uow:
        return tuple(HostView(**row) for row in uow.run(_LIST, params).mappings())
