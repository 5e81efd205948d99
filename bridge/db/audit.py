"""Audit events: append-only, each chained to the event before of the same row, written with the change. And anchors.

The chain's head stands on the row itself (`audit_n`, `audit_head`): it is locked anyway, so the chain costs no lock.
What the hashes cover is said in `bridge.core.audit`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)

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
    Index("ix_audit_events_actor", "workspace_id", "actor", "at"),
    Index("ix_audit_events_event", "workspace_id", "event", "at"),
    Index(
        "ix_audit_events_request",
        "workspace_id",
        "request_id",
        postgresql_where=text("request_id IS NOT NULL"),
    ),
)

audit_anchors = Table(
    "audit_anchors",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("root", LargeBinary, nullable=False),
    Column("leaves", Integer, nullable=False),
    when("at"),
    Column("prev", LargeBinary),
    Column("hash", LargeBinary, nullable=False),
)

audit_leaves = Table(
    "audit_leaves",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("resource_type", Text, primary_key=True),
    Column("resource_id", Text, primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    Column("anchor_n", BigInteger, nullable=False),
    Column("place", Integer, nullable=False),
    ForeignKeyConstraint(["workspace_id", "anchor_n"], ["audit_anchors.workspace_id", "audit_anchors.n"]),
    Index("ux_audit_leaves_place", "workspace_id", "anchor_n", "place", unique=True),
)
"""The marks that each anchor was made of, in their places."""
