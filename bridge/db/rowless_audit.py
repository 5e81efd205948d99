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
    params = {"workspace_id": uow.workspace_id, "resource": resource, "row_id": row_id}
    uow.run(_HOLD, {"chain": "\x1f".join(("audit", *params.values()))})
    last = uow.run(_LAST, params).mappings().one_or_none()
    n, head = (last["n"], bytes(last["hash"])) if last else (0, None)
    uow.audit(uow.said(resource, row_id, what, before, after), n=n, head=head, at=at)
