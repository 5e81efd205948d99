"""Audit events of things that have no row to carry their chain: tokens, pauses, refusals.

The chain's end is looked up in the audit itself, under an advisory lock of the transaction: last in the lock order.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text

from bridge.db.uow import UnitOfWork

_HOLD = text("SELECT pg_advisory_xact_lock(hashtextextended(:chain, 0))")
_LAST = text("""
SELECT n, hash FROM audit_events WHERE workspace_id = :workspace_id AND resource_type = :resource
    AND resource_id = :row_id ORDER BY n DESC LIMIT 1
""")

LOOK_BACK = 32
"""More than there are kinds of refusals: each has at most one row a minute."""
_TOLD = text("""
SELECT EXISTS (SELECT FROM (
    SELECT event, at FROM audit_events WHERE workspace_id = :workspace_id AND resource_type = :resource
        AND resource_id = :row_id ORDER BY n DESC LIMIT :most
) lately WHERE event = :event AND at > :since)
""")


def audit_rowless(
    uow: UnitOfWork,
    resource: str,
    row_id: str,
    what: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    at: datetime,
) -> None:
    """Append one event to the chain of a thing without a row."""
    hold_chain(uow, resource, row_id)
    params = {"workspace_id": uow.workspace_id, "resource": resource, "row_id": row_id}
    last = uow.run(_LAST, params).mappings().one_or_none()
    n, head = (last["n"], bytes(last["hash"])) if last else (0, None)
    uow.audit(uow.said(resource, row_id, what, before, after), n=n, head=head, at=at)


def hold_chain(uow: UnitOfWork, resource: str, row_id: str) -> None:
    """Be the only one to append to this chain until the transaction ends."""
    uow.run(_HOLD, {"chain": f"audit\x1f{uow.workspace_id}\x1f{resource}\x1f{row_id}"})


def is_told_since(uow: UnitOfWork, resource: str, row_id: str, what: str, since: datetime) -> bool:
    """Whether such an event is among the last ones of the chain, and not older than that."""
    params = {"workspace_id": uow.workspace_id, "resource": resource, "row_id": row_id}
    return bool(uow.run(_TOLD, params | {"event": what, "since": since, "most": LOOK_BACK}).scalar_one())
