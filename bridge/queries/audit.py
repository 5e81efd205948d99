"""The audit as people read it: who did what to which resource, the newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, select, tuple_

from bridge.core.caller import Caller
from bridge.db.audit import audit_events
from bridge.db.audit_proof import PAGE_ROWS, PARTS, ProofPage, ProofPlace, prove
from bridge.db.deps import Deps

REFUSALS = "security"
"""Audit events of this resource tell what somebody was refused."""


@dataclass(frozen=True, slots=True)
class AuditView:
    """One event of the audit. `result`: `done`, or `refused`."""

    resource_type: str
    resource_id: str
    n: int
    event: str
    actor: str
    result: str
    request_id: str | None
    trace_id: str | None
    before: dict[str, Any]
    after: dict[str, Any]
    at: datetime
    hash: str


@dataclass(frozen=True, slots=True)
class AuditPlace:
    """Where a page ended."""

    at: datetime
    resource_type: str
    resource_id: str
    n: int


@dataclass(frozen=True, slots=True)
class AuditPage:
    """The newest first; `place` is where the next page begins."""

    items: tuple[AuditView, ...]
    place: AuditPlace | None


_ORDER = (audit_events.c.at, audit_events.c.resource_type, audit_events.c.resource_id, audit_events.c.n)


def list_audit(
    deps: Deps,
    caller: Caller,
    *,
    resource_type: str | None = None,
    resource_id: str | None = None,
    actor: str | None = None,
    event: str | None = None,
    request_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
    before: AuditPlace | None = None,
) -> AuditPage:
    """The workspace's events that fit, from `since` on and before `until`."""
    columns = audit_events.c
    query = select(audit_events).where(columns.workspace_id == caller.workspace_id)
    wanted = {
        columns.resource_type: resource_type,
        columns.resource_id: resource_id,
        columns.actor: actor,
        columns.event: event,
        columns.request_id: request_id,
    }
    query = query.where(*(column == value for column, value in wanted.items() if value is not None))
    if since is not None:
        query = query.where(columns.at >= since)
    if until is not None:
        query = query.where(columns.at < until)
    if before is not None:
        place = (before.at, before.resource_type, before.resource_id, before.n)
        query = query.where(tuple_(*_ORDER) < place)
    query = query.order_by(*(column.desc() for column in _ORDER)).limit(limit + 1)
    with deps.unit(caller.workspace_id, caller) as uow:
        found = uow.run(query).mappings().all()
    items = tuple(_view(row) for row in found[:limit])
    if len(found) <= limit:
        return AuditPage(items, None)
    last = items[-1]
    return AuditPage(items, AuditPlace(last.at, last.resource_type, last.resource_id, last.n))


def _view(row: RowMapping) -> AuditView:
    shown = {name: row[name] for name in AuditView.__slots__ if name not in ("result", "hash")}
    result = "refused" if row["resource_type"] == REFUSALS else "done"
    return AuditView(**shown, result=result, hash=row["hash"].hex())


def verify_audit(
    deps: Deps, caller: Caller, place: ProofPlace | None = None, limit: int = PAGE_ROWS
) -> ProofPage:
    """The next page of the proof of the caller's workspace."""
    with deps.unit(caller.workspace_id, caller) as uow:
        return prove(uow, place or ProofPlace(PARTS[0]), limit)


__all__ = [
    "PARTS",
    "AuditPage",
    "AuditPlace",
    "AuditView",
    "ProofPage",
    "ProofPlace",
    "list_audit",
    "verify_audit",
]
