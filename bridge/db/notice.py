"""Notices: what operators and senders are told. Open notices of one cause and audience are one row with a count."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text, text

from bridge.db.base import metadata, when, workspace

OPERATORS = "*operators"
"""The audience of every operator of the workspace."""

notices = Table(
    "notices",
    metadata,
    Column("notice_id", Text, primary_key=True),
    workspace(),
    Column("audience", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("thread_id", Text),
    Column("wake_id", Text),
    Column("count", Integer, nullable=False, server_default="1"),
    when("first_at"),
    when("last_at"),
    when("acked_at", nullable=True),
    Column("acked_by", Text),
    Index(
        "ux_notices_open",
        "workspace_id",
        "audience",
        "cause",
        unique=True,
        postgresql_where=text("acked_at IS NULL"),
    ),
    Index("ix_notices_audience", "workspace_id", "audience", "last_at"),
)
