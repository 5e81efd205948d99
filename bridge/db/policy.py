"""Policies (versioned numbers with a scope) and pauses."""

from __future__ import annotations

from sqlalchemy import Column, Integer, Table, Text

from bridge.db.base import json_column, metadata, when

policies = Table(
    "policies",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    json_column("data", nullable=False),
    Column("author", Text, nullable=False),
    Column("reason", Text, nullable=False),
    when("created_at"),
)

pauses = Table(
    "pauses",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("by", Text, nullable=False),
    when("created_at"),
)
