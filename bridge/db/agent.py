"""Workspaces, agents and sessions, and the mapping of their rows to core values."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    RowMapping,
    Table,
    Text,
    text,
)

from bridge.core.agent import Agent
from bridge.core.session import Session
from bridge.core.states import SessionStatus
from bridge.db.base import audit_head, metadata, one_of, when

workspaces = Table(
    "workspaces",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    when("created_at"),
    Column("anchor_n", BigInteger, nullable=False, server_default="0"),
    Column("anchor_head", LargeBinary),
    when("anchored_to", nullable=True),
)

agents = Table(
    "agents",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("agent_id", Text, primary_key=True),
    Column("host", Text, nullable=False, server_default="local"),
    Column("is_human", Boolean, nullable=False, server_default=text("false")),
    Column("preset", Text),
    Column("disabled", Boolean, nullable=False, server_default=text("false")),
    Column("seat_session_id", Text),
    Column("seat_term", BigInteger, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    when("unreachable_since", nullable=True),
    when("probe_at", nullable=True),
    when("listening_until", nullable=True),
    *audit_head(),
    when("created_at"),
    when("updated_at"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("session_id", Text, primary_key=True),
    Column("agent_id", Text, nullable=False),
    Column("runtime", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("resumable", Boolean, nullable=False, server_default=text("false")),
    Column("host", Text),
    Column("attached", Boolean, nullable=False, server_default=text("false")),
    Column("term", BigInteger, nullable=False, server_default="0"),
    Column("pid", Integer),
    when("heartbeat_at", nullable=True),
    when("human_at", nullable=True),
    Column("native_id", Text),
    Column("preset", Text),
    Column("cwd", Text),
    when("held_until", nullable=True),
    Column("held_by", Text),
    Column("held_why", Text),
    *audit_head(),
    when("created_at"),
    when("updated_at"),
    one_of("status", SessionStatus),
    CheckConstraint("(held_until IS NULL) = (held_by IS NULL)", name="held_by_somebody"),
    Index("ix_sessions_agent", "workspace_id", "agent_id"),
    Index("ix_sessions_host", "host", postgresql_where=text("attached")),
)

_AGENT = [
    "workspace_id",
    "agent_id",
    "host",
    "is_human",
    "disabled",
    "seat_session_id",
    "seat_term",
    "failures",
    "unreachable_since",
    "probe_at",
    "listening_until",
]
_AGENT_CHANGES = [
    "host",
    "disabled",
    "seat_session_id",
    "seat_term",
    "failures",
    "unreachable_since",
    "probe_at",
    "listening_until",
]
_SESSION = [
    "workspace_id",
    "session_id",
    "agent_id",
    "runtime",
    "resumable",
    "host",
    "attached",
    "term",
    "pid",
    "heartbeat_at",
    "human_at",
    "native_id",
    "preset",
    "cwd",
    "held_until",
    "held_by",
    "held_why",
]


def agent_to_core(row: RowMapping) -> Agent:
    """The row as the core knows it."""
    return Agent(**{name: row[name] for name in _AGENT})


def agent_to_row(agent: Agent) -> dict[str, Any]:
    """The columns that a decision may change."""
    return {name: getattr(agent, name) for name in _AGENT_CHANGES}


def session_to_core(row: RowMapping) -> Session:
    """The row as the core knows it."""
    return Session(**{name: row[name] for name in _SESSION}, status=SessionStatus(row["status"]))


def session_to_row(session: Session) -> dict[str, Any]:
    """All columns of the row that belong to the core's value."""
    return {name: getattr(session, name) for name in _SESSION} | {"status": session.status.value}
