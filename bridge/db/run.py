"""Runs: the processes that the bridge started, and the mapping of their rows to the core's value."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    RowMapping,
    Table,
    Text,
    text,
)

from bridge.core.run import Run
from bridge.core.states import Rung, RunResult, RunState
from bridge.db.base import audit_head, metadata, one_of, when, workspace

OPEN_RUN_SQL = "state <> 'ended'"

runs = Table(
    "runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    workspace(),
    Column("agent_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("native_id", Text, nullable=False),
    Column("attempt_id", Text, ForeignKey("attempts.attempt_id"), nullable=False),
    Column("rung", Text, nullable=False),
    Column("preset", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("boot_id", Text),
    Column("shim_pid", Integer),
    Column("pid", Integer),
    Column("pid_started", BigInteger),
    when("begun_at"),
    when("kill_at"),
    when("started_at", nullable=True),
    when("proved_at", nullable=True),
    when("end_asked_at", nullable=True),
    when("ended_at", nullable=True),
    Column("exit_status", Integer),
    Column("result", Text),
    Column("why", Text),
    *audit_head(),
    when("updated_at"),
    one_of("state", RunState),
    CheckConstraint(f"rung IN ({', '.join(repr(r.value) for r in (Rung.RESUME, Rung.SPAWN))})", name="rung"),
    CheckConstraint(
        f"result IS NULL OR result IN ({', '.join(repr(r.value) for r in RunResult)})", name="result"
    ),
    CheckConstraint("(state = 'ended') = (ended_at IS NOT NULL AND result IS NOT NULL)", name="ended_how"),
    Index("ux_runs_session", "workspace_id", "session_id", unique=True, postgresql_where=text(OPEN_RUN_SQL)),
    Index("ix_runs_open", "host", postgresql_where=text(OPEN_RUN_SQL)),
    Index("ix_runs_agent_open", "workspace_id", "agent_id", postgresql_where=text(OPEN_RUN_SQL)),
    Index("ix_runs_session", "workspace_id", "session_id", "begun_at"),
    Index("ix_runs_attempt", "attempt_id"),
    Index("ix_runs_begun", "workspace_id", "begun_at", "run_id"),
)

_PLAIN = [
    "run_id",
    "workspace_id",
    "agent_id",
    "session_id",
    "native_id",
    "attempt_id",
    "preset",
    "host",
    "worker",
    "slot",
    "boot_id",
    "shim_pid",
    "pid",
    "pid_started",
    "begun_at",
    "kill_at",
    "started_at",
    "proved_at",
    "end_asked_at",
    "ended_at",
    "exit_status",
    "why",
]


def run_to_core(row: RowMapping) -> Run:
    """The row as the core knows it."""
    return Run(
        **{name: row[name] for name in _PLAIN},
        rung=Rung(row["rung"]),
        state=RunState(row["state"]),
        result=RunResult(row["result"]) if row["result"] else None,
    )


def run_to_row(run: Run) -> dict[str, Any]:
    """All columns of the row that belong to the core's value."""
    return {name: getattr(run, name) for name in _PLAIN} | {
        "rung": run.rung.value,
        "state": run.state.value,
        "result": run.result.value if run.result else None,
    }
