"""Runs and slots, what a host says of itself, and what it takes to resume a session: expand only.

Revision 0002, after 0001. Code of 0001 runs on it: every new column may be empty.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent / "sql"
OPEN = sa.text("state <> 'ended'")


def upgrade() -> None:
    _widen()
    _add_indexes()
    _add_slots()
    _add_runs()
    op.execute((SQL / "0002_security.sql").read_text(encoding="utf-8"))


def _widen() -> None:
    op.add_column("hosts", sa.Column("term", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("hosts", sa.Column("version", sa.Text(), nullable=True))
    op.add_column(
        "hosts",
        sa.Column("presets", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    )
    op.add_column("hosts", sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True))
    for name in ("native_id", "preset", "cwd"):
        op.add_column("sessions", sa.Column(name, sa.Text(), nullable=True))
    op.create_index(
        "ix_wakes_slot",
        "wakes",
        ["workspace_id", "host", "since"],
        unique=False,
        postgresql_where=sa.text("state = 'pending' AND reason = 'slot'"),
    )


def _add_indexes() -> None:
    """What a summary looks for, in threads of any length."""
    op.create_index(
        "ix_messages_notable",
        "messages",
        ["thread_id", "seq"],
        unique=False,
        postgresql_where=sa.text("kind <> 'chat'"),
    )
    op.create_index(
        "ix_findings_open",
        "findings",
        ["thread_id", "opened_seq"],
        unique=False,
        postgresql_where=sa.text("status IN ('open', 'fixed')"),
    )


def _add_slots() -> None:
    op.create_table(
        "slots",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["host"], ["hosts.host"], name=op.f("fk_slots_host")),
        sa.PrimaryKeyConstraint("host", "n", name=op.f("pk_slots")),
    )
    op.create_index(
        "ux_slots_run", "slots", ["run_id"], unique=True, postgresql_where=sa.text("run_id IS NOT NULL")
    )


def _add_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("native_id", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("rung", sa.Text(), nullable=False),
        sa.Column("preset", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=True),
        sa.Column("shim_pid", sa.Integer(), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("pid_started", sa.BigInteger(), nullable=True),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kill_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("proved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("exit_status", sa.Integer(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("audit_n", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("audit_head", sa.LargeBinary(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('starting', 'running', 'ending', 'ended')", name=op.f("ck_runs_state")),
        sa.CheckConstraint("rung IN ('resume', 'spawn')", name=op.f("ck_runs_rung")),
        sa.CheckConstraint(
            "result IS NULL OR result IN ('exited', 'crashed', 'killed', 'lost')", name=op.f("ck_runs_result")
        ),
        sa.CheckConstraint(
            "(state = 'ended') = (ended_at IS NOT NULL AND result IS NOT NULL)",
            name=op.f("ck_runs_ended_how"),
        ),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.attempt_id"], name=op.f("fk_runs_attempt_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_runs")),
    )
    op.create_index(
        "ux_runs_session", "runs", ["workspace_id", "session_id"], unique=True, postgresql_where=OPEN
    )
    op.create_index("ix_runs_open", "runs", ["host"], unique=False, postgresql_where=OPEN)
    op.create_index(
        "ix_runs_agent_open", "runs", ["workspace_id", "agent_id"], unique=False, postgresql_where=OPEN
    )
    op.create_index("ix_runs_session", "runs", ["workspace_id", "session_id", "begun_at"], unique=False)
    op.create_index("ix_runs_attempt", "runs", ["attempt_id"], unique=False)
    op.create_index("ix_runs_begun", "runs", ["workspace_id", "begun_at", "run_id"], unique=False)


def downgrade() -> None:
    op.drop_table("runs")
    op.drop_table("slots")
    op.drop_index("ix_findings_open", table_name="findings")
    op.drop_index("ix_messages_notable", table_name="messages")
    op.drop_index("ix_wakes_slot", table_name="wakes")
    for name in ("cwd", "preset", "native_id"):
        op.drop_column("sessions", name)
    for name in ("taken_at", "presets", "version", "term"):
        op.drop_column("hosts", name)
