"""Hosts: who holds them, when they were last seen, what they hold of this workspace, whether they drain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, text

from bridge.core.caller import Caller
from bridge.core.errors import NotFound
from bridge.db.deps import Deps
from bridge.db.keeper import HOST_TERM_S

HOSTS_MAX = 200


@dataclass(frozen=True, slots=True)
class HostView:
    """One host. Runs, sessions and wakes are those of the caller's workspace, slots everybody's."""

    host: str
    seen: bool
    last_seen_at: datetime | None
    draining: bool
    term: int
    version: str | None
    machine: str | None
    taken_at: datetime | None
    presets: dict[str, list[str]]
    slots_used: int
    slots: int
    runs: int
    agents: int
    attached_sessions: int
    attempts_in_flight: int
    open_wakes: int


_SELECT = """
SELECT h.host, coalesce(h.seen_at > bridge_now() - make_interval(secs => :term_s), false) AS seen,
    h.seen_at AS last_seen_at, h.draining,
    h.term, h.version, split_part(h.holder, '/', 1) AS machine, h.taken_at, coalesce(h.presets, '{}') AS presets,
    (SELECT count(*) FROM slots s WHERE s.host = h.host AND s.run_id IS NOT NULL) AS slots_used,
    (SELECT count(*) FROM runs r WHERE r.workspace_id = :workspace_id AND r.host = h.host AND r.state <> 'ended')
        AS runs,
    (SELECT count(*) FROM agents a WHERE a.workspace_id = :workspace_id AND a.host = h.host) AS agents,
    (SELECT count(*) FROM sessions s WHERE s.workspace_id = :workspace_id AND s.host = h.host AND s.attached)
        AS attached_sessions,
    (SELECT count(*) FROM attempts x JOIN sessions s ON s.workspace_id = x.workspace_id AND s.session_id = x.session_id
        WHERE x.workspace_id = :workspace_id AND s.host = h.host AND x.closed_at IS NULL) AS attempts_in_flight,
    (SELECT count(*) FROM wakes w WHERE w.workspace_id = :workspace_id AND w.host = h.host
        AND w.state IN ('pending', 'delivering', 'touching', 'waiting')) AS open_wakes
FROM hosts h
"""
_LIST = text(f"""{_SELECT}
WHERE CAST(:after AS text) IS NULL OR h.host > :after ORDER BY h.host LIMIT :limit
""")
_ONE = text(f"{_SELECT} WHERE h.host = :host")


def list_hosts(
    deps: Deps, caller: Caller, *, limit: int = 50, after: str | None = None
) -> tuple[HostView, ...]:
    """In order of their names; one more than `limit` when there are more."""
    params = {"after": after, "limit": min(limit, HOSTS_MAX) + 1}
    return _views(deps, caller, _LIST, params)


def get_host(deps: Deps, caller: Caller, host: str) -> HostView:
    """One host. Raises NotFound."""
    found = _views(deps, caller, _ONE, {"host": host})
    if not found:
        raise NotFound(host=host)
    return found[0]


def _views(deps: Deps, caller: Caller, statement: TextClause, params: dict[str, Any]) -> tuple[HostView, ...]:
    given = params | {"workspace_id": caller.workspace_id, "term_s": HOST_TERM_S}
    slots = deps.policies.current(caller.workspace_id).host_slots
    with deps.unit(caller.workspace_id, caller) as uow:
        return tuple(HostView(**row, slots=slots) for row in uow.run(statement, given).mappings())
