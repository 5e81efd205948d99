"""Hosts and ticks: what belongs to the machines, not to a workspace."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Table, Text, text

from bridge.db.base import metadata, when

hosts = Table(
    "hosts",
    metadata,
    Column("host", Text, primary_key=True),
    Column("holder", Text),
    when("seen_at", nullable=True),
    Column("draining", Boolean, nullable=False, server_default=text("false")),
    when("canary_asked_at", nullable=True),
    when("canary_claimed_at", nullable=True),
)

ticks = Table(
    "ticks",
    metadata,
    Column("name", Text, primary_key=True),
    when("next_at"),
    Column("holder", Text),
    when("until", nullable=True),
)
