"""Wakes, attempts and their history, and the mapping of a wake's row to the core's value."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    RowMapping,
    Table,
    Text,
    text,
)

from bridge.core.ladder import Tried
from bridge.core.states import WAKE_OPEN, Rung, WaitReason, WakeState
from bridge.core.wake_events import Wake
from bridge.db.base import audit_head, json_column, metadata, one_of, when, workspace

OPEN_SQL = "state IN (" + ", ".join(f"'{state.value}'" for state in WakeState if state in WAKE_OPEN) + ")"

wakes = Table(
    "wakes",
    metadata,
    Column("wake_id", Text, primary_key=True),
    workspace(),
    Column("thread_id", Text, ForeignKey("threads.thread_id"), nullable=False),
    Column("agent_id", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("target_seq", BigInteger, nullable=False),
    Column("offered_seq", BigInteger, nullable=False, server_default="0"),
    Column("offering_seq", BigInteger, nullable=False, server_default="0"),
    when("due_at"),
    when("rung_until", nullable=True),
    when("dies_at"),
    when("since"),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("worker", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("attempt_id", Text),
    Column("rung", Text),
    Column("session_id", Text),
    Column("tried_live", Integer, nullable=False, server_default="0"),
    Column("tried_resume", Integer, nullable=False, server_default="0"),
    Column("tried_spawn", Integer, nullable=False, server_default="0"),
    Column("spent", ARRAY(Text), nullable=False, server_default="{}"),
    Column("occupied", Boolean, nullable=False, server_default=text("false")),
    when("accepted_at", nullable=True),
    Column("handed", Boolean, nullable=False, server_default=text("false")),
    Column("unsure", Boolean, nullable=False, server_default=text("false")),
    Column("deferred_s", Float, nullable=False, server_default="0"),
    Column("cancel", Text),
    Column("forced", Boolean, nullable=False, server_default=text("false")),
    Column("why", Text),
    Column("policy_version", Integer, nullable=False),
    Column("retry_of", Text),
    Column("traceparent", Text),
    Column("version", BigInteger, nullable=False, server_default="1"),
    *audit_head(),
    when("created_at"),
    when("updated_at"),
    one_of("state", WakeState),
    one_of("reason", WaitReason),
    CheckConstraint(f"rung IS NULL OR rung IN ({', '.join(repr(r.value) for r in Rung)})", name="rung"),
    CheckConstraint("due_at <= dies_at", name="due_before_death"),
    CheckConstraint("offered_seq >= 0 AND target_seq >= 1", name="seqs"),
    CheckConstraint("state <> 'acked' OR offered_seq > 0", name="acked_was_offered"),
    CheckConstraint("state <> 'touching' OR offering_seq > 0", name="touching_offers"),
    Index("ux_wakes_open", "thread_id", "agent_id", unique=True, postgresql_where=text(OPEN_SQL)),
    Index("ix_wakes_due", "due_at", postgresql_where=text(OPEN_SQL)),
    Index("ix_wakes_agent_open", "workspace_id", "agent_id", "thread_id", postgresql_where=text(OPEN_SQL)),
    Index(
        "ix_wakes_slot",
        "workspace_id",
        "host",
        "since",
        postgresql_where=text("state = 'pending' AND reason = 'slot'"),
    ),
    Index("ix_wakes_thread", "thread_id", "agent_id", "created_at"),
    Index("ix_wakes_created", "workspace_id", "created_at", "wake_id"),
    postgresql_with={"fillfactor": 50},
)

attempts = Table(
    "attempts",
    metadata,
    Column("attempt_id", Text, primary_key=True),
    workspace(),
    Column(
        "wake_id", Text, nullable=False
    ),  # archived with its thread, perhaps: the try stays for the others
    Column("agent_id", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("rung", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("worker", Text),
    when("begun_at"),
    when("accepted_at", nullable=True),
    when("closed_at", nullable=True),
    Column("result", Text),
    Column("why", Text),
    Index(
        "ux_attempts_in_flight",
        "workspace_id",
        "session_id",
        unique=True,
        postgresql_where=text("closed_at IS NULL"),
    ),
    Index("ix_attempts_wake", "wake_id", "begun_at"),
    Index("ix_attempts_rate", "thread_id", "agent_id", "begun_at"),
)

attempt_wakes = Table(
    "attempt_wakes",
    metadata,
    Column("attempt_id", Text, ForeignKey("attempts.attempt_id"), primary_key=True),
    Column("wake_id", Text, ForeignKey("wakes.wake_id"), primary_key=True),
    workspace(),
    Column("offered_seq", BigInteger, nullable=False),
    when("handed_at", nullable=True),
    when("left_at", nullable=True),
    Column("result", Text),
    Index("ix_attempt_wakes_wake", "wake_id"),
)

wake_events = Table(
    "wake_events",
    metadata,
    Column("wake_id", Text, ForeignKey("wakes.wake_id"), primary_key=True),
    Column("n", BigInteger, primary_key=True),
    workspace(),
    Column("event", Text, nullable=False),
    Column("from_state", Text),
    Column("to_state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("why", Text),
    Column("worker", Text),
    Column("policy_version", Integer, nullable=False),
    json_column("detail"),
    when("at"),
)

_PLAIN = [
    "wake_id",
    "workspace_id",
    "thread_id",
    "agent_id",
    "target_seq",
    "created_at",
    "due_at",
    "dies_at",
    "since",
    "offered_seq",
    "offering_seq",
    "fence",
    "worker",
    "attempts",
    "attempt_id",
    "session_id",
    "accepted_at",
    "handed",
    "unsure",
    "deferred_s",
    "cancel",
    "forced",
    "why",
    "policy_version",
]

ROW_NAMES = (
    *_PLAIN,
    "state",
    "reason",
    "rung",
    "tried_live",
    "tried_resume",
    "tried_spawn",
    "spent",
    "occupied",
)
"""The columns that belong to the core's value."""


def to_core(row: RowMapping) -> Wake:
    """The row as the core knows it."""
    tried = Tried(
        live=row["tried_live"],
        resume=row["tried_resume"],
        spawn=row["tried_spawn"],
        spent=frozenset(Rung(rung) for rung in row["spent"]),
        occupied=row["occupied"],
    )
    return Wake(
        **{name: row[name] for name in _PLAIN},
        state=WakeState(row["state"]),
        reason=WaitReason(row["reason"]),
        rung=Rung(row["rung"]) if row["rung"] else None,
        tried=tried,
    )


def to_row(wake: Wake) -> dict[str, Any]:
    """All columns of the row that belong to the core's value."""
    row: dict[str, Any] = {name: getattr(wake, name) for name in _PLAIN}
    return row | {
        "state": wake.state.value,
        "reason": wake.reason.value,
        "rung": wake.rung.value if wake.rung else None,
        "tried_live": wake.tried.live,
        "tried_resume": wake.tried.resume,
        "tried_spawn": wake.tried.spawn,
        "spent": sorted(rung.value for rung in wake.tried.spent),
        "occupied": wake.tried.occupied,
    }
