"""Audit events: append-only, each chained to the event before of the same row, written with the change.

The chain's head stands on the row itself (`audit_n`, `audit_head`): it is locked anyway, so the chain costs no lock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from bridge.db.base import json_column, metadata, when

audit_events = Table(
    "audit_events",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("resource_type", Text, primary_key=True),
    Column("resource_id", Text, primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("event", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("request_id", Text),
    Column("trace_id", Text),
    json_column("before"),
    json_column("after"),
    when("at"),
    Column("prev", LargeBinary),
    Column("hash", LargeBinary, nullable=False),
    Index("ix_audit_events_at", "workspace_id", "at"),
)


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Who did what to which row, and what it was before and after."""

    resource_type: str
    resource_id: str
    event: str
    actor: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    request_id: str | None = None
    trace_id: str | None = None


def chain_hash(prev: bytes | None, n: int, workspace_id: str, event: AuditEvent, at: datetime) -> bytes:
    """The hash of an event over the one before it and everything it says."""
    said = [
        n,
        workspace_id,
        event.resource_type,
        event.resource_id,
        event.event,
        event.actor,
        event.request_id,
        event.trace_id,
        dict(event.before),
        dict(event.after),
        at.isoformat(),
    ]
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256((prev or b"") + text.encode()).digest()
