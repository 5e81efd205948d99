"""All that the bridge remembers at first: expand only.

Revision 0001, the first. The SQL beside it is frozen: later migrations carry their own copies.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQL = Path(__file__).parent / "sql"


def upgrade() -> None:
    op.create_table(
        "agents",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), server_default="local", nullable=False),
        sa.Column("is_human", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("preset", sa.Text(), nullable=True),
        sa.Column("disabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("seat_session_id", sa.Text(), nullable=True),
        sa.Column("seat_term", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unreachable_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("listening_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("audit_n", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("audit_head", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "agent_id", name=op.f("pk_agents")),
    )
    op.create_table(
        "audit_events",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("resource_type", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("trace_id", sa.Text(), nullable=True),
        sa.Column("before", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("prev", sa.LargeBinary(), nullable=True),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "workspace_id", "resource_type", "resource_id", "n", name=op.f("pk_audit_events")
        ),
    )
    op.create_index("ix_audit_events_at", "audit_events", ["workspace_id", "at"], unique=False)
    op.create_table(
        "hosts",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("draining", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("canary_asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("canary_claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_hosts")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("response", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "agent_id", "route", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_created", "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "notices",
        sa.Column("notice_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=True),
        sa.Column("wake_id", sa.Text(), nullable=True),
        sa.Column("count", sa.Integer(), server_default="1", nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acked_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("notice_id", name=op.f("pk_notices")),
    )
    op.create_index("ix_notices_audience", "notices", ["workspace_id", "audience", "last_at"], unique=False)
    op.create_index(
        "ux_notices_open",
        "notices",
        ["workspace_id", "audience", "cause"],
        unique=True,
        postgresql_where=sa.text("acked_at IS NULL"),
    )
    op.create_table(
        "pauses",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "scope", name=op.f("pk_pauses")),
    )
    op.create_table(
        "policies",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("data", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "scope", "version", name=op.f("pk_policies")),
    )
    op.create_table(
        "revocations",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("workspace_id", "kind", "value", name=op.f("pk_revocations")),
    )
    op.create_table(
        "sessions",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("runtime", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("resumable", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("host", sa.Text(), nullable=True),
        sa.Column("attached", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("term", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("human_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("audit_n", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("audit_head", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status IN ('active', 'idle', 'offline')", name=op.f("ck_sessions_status")),
        sa.PrimaryKeyConstraint("workspace_id", "session_id", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_agent", "sessions", ["workspace_id", "agent_id"], unique=False)
    op.create_index(
        "ix_sessions_host", "sessions", ["host"], unique=False, postgresql_where=sa.text("attached")
    )
    op.create_table(
        "threads",
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("participants", sa.Integer(), server_default="0", nullable=False),
        sa.Column("turns", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_sender", sa.Text(), nullable=True),
        sa.Column("progress_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("open_findings", sa.Integer(), server_default="0", nullable=False),
        sa.Column("escalated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("stalled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("last_commit", sa.Text(), nullable=True),
        sa.Column("blocked_reason", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("message_head", sa.LargeBinary(), nullable=True),
        sa.Column("audit_n", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("audit_head", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('active', 'blocked', 'resolved', 'closed')", name=op.f("ck_threads_status")
        ),
        sa.CheckConstraint("type IN ('conversation', 'workflow', 'incident')", name=op.f("ck_threads_type")),
        sa.CheckConstraint(
            "last_seq >= 0 AND turns >= 0 AND open_findings >= 0", name=op.f("ck_threads_counters")
        ),
        sa.PrimaryKeyConstraint("thread_id", name=op.f("pk_threads")),
    )
    op.create_index(
        "ix_threads_stall",
        "threads",
        ["progress_at"],
        unique=False,
        postgresql_where=sa.text("status = 'active' AND open_findings > 0 AND NOT stalled"),
    )
    op.create_index(
        "ix_threads_workspace_created", "threads", ["workspace_id", "created_at", "thread_id"], unique=False
    )
    op.create_table(
        "ticks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_ticks")),
    )
    op.create_table(
        "workspaces",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_workspaces")),
    )
    op.create_table(
        "findings",
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("finding_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reports", sa.Integer(), server_default="1", nullable=False),
        sa.Column("opened_seq", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('open', 'fixed', 'verified', 'rejected')", name=op.f("ck_findings_status")
        ),
        sa.ForeignKeyConstraint(["thread_id"], ["threads.thread_id"], name=op.f("fk_findings_thread_id")),
        sa.PrimaryKeyConstraint("thread_id", "finding_id", name=op.f("pk_findings")),
    )
    op.create_index("ix_findings_fingerprint", "findings", ["thread_id", "fingerprint"], unique=False)
    op.create_table(
        "messages",
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=True),
        sa.Column("event", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("metadata", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("sender_agent_id", sa.Text(), nullable=False),
        sa.Column("sender_session_id", sa.Text(), nullable=True),
        sa.Column("in_reply_to", sa.Text(), nullable=True),
        sa.Column("to_agents", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("to_role", sa.Text(), nullable=True),
        sa.Column("urgent", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("kind IN ('chat', 'event', 'system')", name=op.f("ck_messages_kind")),
        sa.CheckConstraint("seq >= 1", name=op.f("ck_messages_seq")),
        sa.ForeignKeyConstraint(["thread_id"], ["threads.thread_id"], name=op.f("fk_messages_thread_id")),
        sa.PrimaryKeyConstraint("thread_id", "seq", name=op.f("pk_messages")),
        sa.UniqueConstraint("message_id", name=op.f("uq_messages_message_id")),
    )
    op.create_index(
        "ix_messages_reply",
        "messages",
        ["in_reply_to"],
        unique=False,
        postgresql_where=sa.text("in_reply_to IS NOT NULL"),
    )
    op.create_table(
        "participants",
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("last_read_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("last_read_seq >= 0", name=op.f("ck_participants_cursor")),
        sa.ForeignKeyConstraint(["thread_id"], ["threads.thread_id"], name=op.f("fk_participants_thread_id")),
        sa.PrimaryKeyConstraint("thread_id", "agent_id", name=op.f("pk_participants")),
    )
    op.create_index(
        "ix_participants_agent", "participants", ["workspace_id", "agent_id", "thread_id"], unique=False
    )
    op.create_table(
        "wakes",
        sa.Column("wake_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("target_seq", sa.BigInteger(), nullable=False),
        sa.Column("offered_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("offering_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rung_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dies_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=True),
        sa.Column("rung", sa.Text(), nullable=True),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("tried_live", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tried_resume", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tried_spawn", sa.Integer(), server_default="0", nullable=False),
        sa.Column("spent", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("occupied", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("handed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("unsure", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("deferred_s", sa.Float(), server_default="0", nullable=False),
        sa.Column("cancel", sa.Text(), nullable=True),
        sa.Column("forced", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("retry_of", sa.Text(), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("audit_n", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("audit_head", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "reason IN ('first', 'listening', 'backoff', 'fallback', 'human', 'busy', 'rate', 'slot', 'seat', 'host', 'paused', 'unreachable', 'slowed')",
            name=op.f("ck_wakes_reason"),
        ),
        sa.CheckConstraint(
            "rung IS NULL OR rung IN ('live', 'resume', 'spawn', 'operator')", name=op.f("ck_wakes_rung")
        ),
        sa.CheckConstraint("state <> 'acked' OR offered_seq > 0", name=op.f("ck_wakes_acked_was_offered")),
        sa.CheckConstraint("state <> 'touching' OR offering_seq > 0", name=op.f("ck_wakes_touching_offers")),
        sa.CheckConstraint(
            "state IN ('pending', 'delivering', 'touching', 'waiting', 'acked', 'already_active', 'cancelled', 'failed')",
            name=op.f("ck_wakes_state"),
        ),
        sa.CheckConstraint("due_at <= dies_at", name=op.f("ck_wakes_due_before_death")),
        sa.CheckConstraint("offered_seq >= 0 AND target_seq >= 1", name=op.f("ck_wakes_seqs")),
        sa.ForeignKeyConstraint(["thread_id"], ["threads.thread_id"], name=op.f("fk_wakes_thread_id")),
        sa.PrimaryKeyConstraint("wake_id", name=op.f("pk_wakes")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index(
        "ix_wakes_agent_open",
        "wakes",
        ["workspace_id", "agent_id", "thread_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('pending', 'delivering', 'touching', 'waiting')"),
    )
    op.create_index("ix_wakes_created", "wakes", ["workspace_id", "created_at", "wake_id"], unique=False)
    op.create_index(
        "ix_wakes_due",
        "wakes",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('pending', 'delivering', 'touching', 'waiting')"),
    )
    op.create_index("ix_wakes_thread", "wakes", ["thread_id", "agent_id", "created_at"], unique=False)
    op.create_index(
        "ux_wakes_open",
        "wakes",
        ["thread_id", "agent_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('pending', 'delivering', 'touching', 'waiting')"),
    )
    op.create_table(
        "attempts",
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("wake_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("rung", sa.Text(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["wake_id"], ["wakes.wake_id"], name=op.f("fk_attempts_wake_id")),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_attempts")),
    )
    op.create_index("ix_attempts_rate", "attempts", ["thread_id", "agent_id", "begun_at"], unique=False)
    op.create_index("ix_attempts_wake", "attempts", ["wake_id", "begun_at"], unique=False)
    op.create_index(
        "ux_attempts_in_flight",
        "attempts",
        ["workspace_id", "session_id"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "wake_events",
        sa.Column("wake_id", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=True),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("detail", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["wake_id"], ["wakes.wake_id"], name=op.f("fk_wake_events_wake_id")),
        sa.PrimaryKeyConstraint("wake_id", "n", name=op.f("pk_wake_events")),
    )
    op.create_table(
        "attempt_wakes",
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("wake_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("offered_seq", sa.BigInteger(), nullable=False),
        sa.Column("handed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["attempts.attempt_id"], name=op.f("fk_attempt_wakes_attempt_id")
        ),
        sa.ForeignKeyConstraint(["wake_id"], ["wakes.wake_id"], name=op.f("fk_attempt_wakes_wake_id")),
        sa.PrimaryKeyConstraint("attempt_id", "wake_id", name=op.f("pk_attempt_wakes")),
    )
    op.create_index("ix_attempt_wakes_wake", "attempt_wakes", ["wake_id"], unique=False)
    driver: Any = op.get_bind().connection.driver_connection  # it reads neither % nor : in the text
    for name in ("clock", "post", "security"):
        driver.execute((SQL / f"0001_{name}.sql").read_text())


def downgrade() -> None:
    for name in ("bridge_post", "bridge_store", "bridge_forget_key", "bridge_now"):
        op.execute(f"DROP FUNCTION IF EXISTS {name} CASCADE")
    op.drop_index("ix_attempt_wakes_wake", table_name="attempt_wakes")
    op.drop_table("attempt_wakes")
    op.drop_table("wake_events")
    op.drop_index(
        "ux_attempts_in_flight", table_name="attempts", postgresql_where=sa.text("closed_at IS NULL")
    )
    op.drop_index("ix_attempts_wake", table_name="attempts")
    op.drop_index("ix_attempts_rate", table_name="attempts")
    op.drop_table("attempts")
    op.drop_index(
        "ux_wakes_open",
        table_name="wakes",
        postgresql_where=sa.text("state IN ('pending', 'delivering', 'touching', 'waiting')"),
    )
    op.drop_index("ix_wakes_thread", table_name="wakes")
    op.drop_index(
        "ix_wakes_due",
        table_name="wakes",
        postgresql_where=sa.text("state IN ('pending', 'delivering', 'touching', 'waiting')"),
    )
    op.drop_index("ix_wakes_created", table_name="wakes")
    op.drop_index(
        "ix_wakes_agent_open",
        table_name="wakes",
        postgresql_where=sa.text("state IN ('pending', 'delivering', 'touching', 'waiting')"),
    )
    op.drop_table("wakes")
    op.drop_index("ix_participants_agent", table_name="participants")
    op.drop_table("participants")
    op.drop_index(
        "ix_messages_reply", table_name="messages", postgresql_where=sa.text("in_reply_to IS NOT NULL")
    )
    op.drop_table("messages")
    op.drop_index("ix_findings_fingerprint", table_name="findings")
    op.drop_table("findings")
    op.drop_table("workspaces")
    op.drop_table("ticks")
    op.drop_index("ix_threads_workspace_created", table_name="threads")
    op.drop_index(
        "ix_threads_stall",
        table_name="threads",
        postgresql_where=sa.text("status = 'active' AND open_findings > 0 AND NOT stalled"),
    )
    op.drop_table("threads")
    op.drop_index("ix_sessions_host", table_name="sessions", postgresql_where=sa.text("attached"))
    op.drop_index("ix_sessions_agent", table_name="sessions")
    op.drop_table("sessions")
    op.drop_table("revocations")
    op.drop_table("policies")
    op.drop_table("pauses")
    op.drop_index("ux_notices_open", table_name="notices", postgresql_where=sa.text("acked_at IS NULL"))
    op.drop_index("ix_notices_audience", table_name="notices")
    op.drop_table("notices")
    op.drop_index("ix_idempotency_keys_created", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_table("hosts")
    op.drop_index("ix_audit_events_at", table_name="audit_events")
    op.drop_table("audit_events")
    op.drop_table("agents")
