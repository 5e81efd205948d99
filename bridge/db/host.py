"""Hosts, their slots, and ticks: what belongs to the machines, not to a workspace."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, Table, Text, text

from bridge.db.base import json_column, metadata, when

hosts = Table(
    "hosts",
    metadata,
    Column("host", Text, primary_key=True),
    Column("holder", Text),
    when("seen_at", nullable=True),
    Column("draining", Boolean, nullable=False, server_default=text("false")),
    when("canary_asked_at", nullable=True),
    when("canary_claimed_at", nullable=True),
    Column("term", BigInteger, nullable=False, server_default="0"),
    Column("version", Text),
    json_column("presets"),
    when("taken_at", nullable=True),
)

slots = Table(
    "slots",
    metadata,
    Column("host", Text, ForeignKey("hosts.host"), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("run_id", Text),
    Index("ux_slots_run", "run_id", unique=True, postgresql_where=text("run_id IS NOT NULL")),
)

ticks = Table(
    "ticks",
    metadata,
    Column("name", Text, primary_key=True),
    when("next_at"),
    Column("holder", Text),
    when("until", nullable=True),
)
