"""Anchors over the audit, redaction of messages, and a message chain that covers the whole message: expand only.

Revision 0004, after 0003. Code of 0003 runs on it: every new column may be empty or has a default. The messages that are
there are hashed anew, as they stand: their old hashes left out to whom they were, and could not outlive a redaction.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent / "sql"
REDACTED = ("body_sha256", "event_sha256", "metadata_sha256")
INDEXES = {
    "ix_audit_events_actor": ("audit_events", ["workspace_id", "actor", "at"]),
    "ix_audit_events_event": ("audit_events", ["workspace_id", "event", "at"]),
}
HASH_ANEW = r"""
DO $$
DECLARE
    m messages%ROWTYPE;
    v_head bytea;
    v_thread text;
BEGIN
    FOR m IN SELECT * FROM messages ORDER BY thread_id, seq LOOP
        v_head := sha256(CASE WHEN m.thread_id = v_thread THEN v_head ELSE '\x'::bytea END
            || sha256(convert_to(jsonb_build_array(m.workspace_id, m.thread_id, m.seq, m.message_id, m.schema_version,
                m.kind, m.event_type, m.sender_agent_id, m.sender_session_id, m.in_reply_to, m.to_agents, m.to_role,
                m.urgent, m.request_id, m.traceparent, (extract(epoch FROM m.created_at) * 1000000)::bigint)::text, 'utf8'))
            || sha256(convert_to(coalesce(m.event::text, ''), 'utf8'))
            || sha256(convert_to(coalesce(m.metadata::text, ''), 'utf8'))
            || sha256(convert_to(m.body, 'utf8')));
        v_thread := m.thread_id;
        UPDATE messages SET hash = v_head WHERE thread_id = m.thread_id AND seq = m.seq;
        UPDATE threads SET message_head = v_head WHERE thread_id = m.thread_id AND last_seq = m.seq;
    END LOOP;
END $$
"""


def upgrade() -> None:
    _widen()
    _add_anchors()
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns, unique=False)
    op.create_index(
        "ix_messages_created",
        "messages",
        ["created_at"],
        unique=False,
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    )
    op.create_index(
        "ix_audit_events_request",
        "audit_events",
        ["workspace_id", "request_id"],
        unique=False,
        postgresql_where=sa.text("request_id IS NOT NULL"),
    )
    for name in ("0004_post", "0004_redact", "0004_security"):
        _run((SQL / f"{name}.sql").read_text(encoding="utf-8"))
    # An owner that is no superuser would see no row: row-level security binds it too, where it is forced.
    for how in ("NO FORCE", "FORCE"):
        for table in ("messages", "threads"):
            op.execute(f"ALTER TABLE {table} {how} ROW LEVEL SECURITY")
        if how == "NO FORCE":
            _run(HASH_ANEW)


def _widen() -> None:
    op.add_column("messages", sa.Column("redacted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("messages", sa.Column("redacted_by", sa.Text(), nullable=True))
    for name in REDACTED:
        op.add_column("messages", sa.Column(name, sa.LargeBinary(), nullable=True))
    op.create_check_constraint(
        op.f("ck_messages_redacted_whole"),
        "messages",
        "num_nulls(redacted_at, redacted_by, body_sha256, event_sha256, metadata_sha256) IN (0, 5)",
    )
    op.add_column("workspaces", sa.Column("anchor_n", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("workspaces", sa.Column("anchor_head", sa.LargeBinary(), nullable=True))
    op.add_column("workspaces", sa.Column("anchored_to", sa.DateTime(timezone=True), nullable=True))


def _add_anchors() -> None:
    op.create_table(
        "audit_anchors",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("leaves", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("prev", sa.LargeBinary(), nullable=True),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "n", name=op.f("pk_audit_anchors")),
    )
    op.create_table(
        "audit_leaves",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("resource_type", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("anchor_n", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "anchor_n"],
            ["audit_anchors.workspace_id", "audit_anchors.n"],
            name=op.f("fk_audit_leaves_workspace_id_anchor_n"),
        ),
        sa.PrimaryKeyConstraint(
            "workspace_id", "resource_type", "resource_id", "n", name=op.f("pk_audit_leaves")
        ),
    )
    op.create_index(
        "ux_audit_leaves_place", "audit_leaves", ["workspace_id", "anchor_n", "place"], unique=True
    )


def _run(script: str) -> None:
    driver: Any = op.get_bind().connection.driver_connection  # it reads neither % nor : in the text
    driver.execute(script)


def downgrade() -> None:
    op.execute("DROP FUNCTION bridge_redact")
    _run((SQL / "0001_post.sql").read_text(encoding="utf-8"))
    op.drop_table("audit_leaves")
    op.drop_table("audit_anchors")
    op.drop_index(
        "ix_audit_events_request",
        table_name="audit_events",
        postgresql_where=sa.text("request_id IS NOT NULL"),
    )
    op.drop_index("ix_messages_created", table_name="messages", postgresql_using="brin")
    for name, (table, _) in INDEXES.items():
        op.drop_index(name, table_name=table)
    for name in ("anchored_to", "anchor_head", "anchor_n"):
        op.drop_column("workspaces", name)
    op.drop_constraint(op.f("ck_messages_redacted_whole"), "messages", type_="check")
    for name in (*REDACTED, "redacted_by", "redacted_at"):
        op.drop_column("messages", name)
