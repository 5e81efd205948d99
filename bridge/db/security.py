"""What guards calls: the denylist of tokens and the first answers of idempotent calls."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, Table, Text

from bridge.db.base import json_column, metadata, when

revocations = Table(
    "revocations",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    when("created_at"),
    when("until", nullable=True),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("agent_id", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    json_column("response"),
    when("created_at"),
    Index("ix_idempotency_keys_created", "created_at"),
)
