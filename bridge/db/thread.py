"""Threads, their participants, messages and findings, and the mapping of a thread's row to the core's value."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    RowMapping,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from bridge.core.names import BRIDGE
from bridge.core.states import FindingStatus, MessageKind, ThreadStatus, ThreadType
from bridge.core.thread import Escalation, Thread
from bridge.db.base import audit_head, json_column, metadata, one_of, when, workspace

threads = Table(
    "threads",
    metadata,
    Column("thread_id", Text, primary_key=True),
    workspace(),
    Column("title", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("last_seq", BigInteger, nullable=False, server_default="0"),
    Column("participants", Integer, nullable=False, server_default="0"),
    Column("turns", Integer, nullable=False, server_default="0"),
    Column("last_sender", Text),
    when("progress_at"),
    Column("open_findings", Integer, nullable=False, server_default="0"),
    Column("escalated", Boolean, nullable=False, server_default=text("false")),
    Column("escalated_by", Text),
    Column("escalated_to", Text),
    Column("escalated_why", Text),
    when("escalated_at", nullable=True),
    Column("stalled", Boolean, nullable=False, server_default=text("false")),
    Column("last_commit", Text),
    Column("blocked_reason", Text),
    Column("created_by", Text, nullable=False),
    Column("message_head", LargeBinary),
    *audit_head(),
    when("created_at"),
    when("updated_at"),
    one_of("status", ThreadStatus),
    one_of("type", ThreadType),
    CheckConstraint(
        "(escalated_by IS NULL) = (escalated_why IS NULL) AND (escalated_by IS NULL) = (escalated_at IS NULL)"
        " AND (escalated_to IS NULL OR escalated_by IS NOT NULL) AND (escalated_by IS NULL OR escalated)",
        name="escalation",
    ),
    CheckConstraint("last_seq >= 0 AND turns >= 0 AND open_findings >= 0", name="counters"),
    Index("ix_threads_workspace_created", "workspace_id", "created_at", "thread_id"),
    Index(
        "ix_threads_stall",
        "progress_at",
        postgresql_where=text("status = 'active' AND open_findings > 0 AND NOT stalled"),
    ),
)

participants = Table(
    "participants",
    metadata,
    Column("thread_id", Text, ForeignKey("threads.thread_id"), primary_key=True),
    Column("agent_id", Text, primary_key=True),
    workspace(),
    Column("role", Text),
    Column("last_read_seq", BigInteger, nullable=False, server_default="0"),
    when("joined_at"),
    CheckConstraint("last_read_seq >= 0", name="cursor"),
    Index("ix_participants_agent", "workspace_id", "agent_id", "thread_id"),
)

messages = Table(
    "messages",
    metadata,
    Column("thread_id", Text, ForeignKey("threads.thread_id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("message_id", Text, nullable=False),
    workspace(),
    Column("schema_version", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("event_type", Text),
    json_column("event"),
    Column("body", Text, nullable=False),
    json_column("metadata"),
    Column("sender_agent_id", Text, nullable=False),
    Column("sender_session_id", Text),
    Column("in_reply_to", Text),
    Column("to_agents", ARRAY(Text)),
    Column("to_role", Text),
    Column("urgent", Boolean, nullable=False, server_default=text("false")),
    Column("request_id", Text),
    Column("traceparent", Text),
    when("created_at"),
    Column("hash", LargeBinary, nullable=False),
    when("redacted_at", nullable=True),
    Column("redacted_by", Text),
    Column("body_sha256", LargeBinary),
    Column("event_sha256", LargeBinary),
    Column("metadata_sha256", LargeBinary),
    UniqueConstraint("message_id"),
    one_of("kind", MessageKind),
    CheckConstraint("seq >= 1", name="seq"),
    CheckConstraint(
        "num_nulls(redacted_at, redacted_by, body_sha256, event_sha256, metadata_sha256) IN (0, 5)",
        name="redacted_whole",
    ),
    # Messages come in order of time: ranges of pages are enough to find the newest, and cost a post next to nothing.
    Index(
        "ix_messages_created",
        "created_at",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    ),
    Index("ix_messages_notable", "thread_id", "seq", postgresql_where=text("kind <> 'chat'")),
    Index("ix_messages_reply", "in_reply_to", postgresql_where=text("in_reply_to IS NOT NULL")),
    Index(
        "ix_messages_search",
        text("bridge_search_vector(workspace_id, thread_id, body, event)"),
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": 256},
    ),
)

findings = Table(
    "findings",
    metadata,
    Column("thread_id", Text, ForeignKey("threads.thread_id"), primary_key=True),
    Column("finding_id", Text, primary_key=True),
    workspace(),
    Column("fingerprint", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reports", Integer, nullable=False, server_default="1"),
    Column("opened_seq", BigInteger, nullable=False),
    when("updated_at"),
    one_of("status", FindingStatus),
    Index("ix_findings_fingerprint", "thread_id", "fingerprint"),
    Index(
        "ix_findings_open", "thread_id", "opened_seq", postgresql_where=text("status IN ('open', 'fixed')")
    ),
)


def to_core(row: RowMapping) -> Thread:
    """The row as the core knows it."""
    return Thread(
        thread_id=row["thread_id"],
        workspace_id=row["workspace_id"],
        type=ThreadType(row["type"]),
        status=ThreadStatus(row["status"]),
        last_seq=row["last_seq"],
        participants=row["participants"],
        turns=row["turns"],
        last_sender=row["last_sender"],
        progress_at=row["progress_at"],
        open_findings=row["open_findings"],
        escalation=escalation_of(row),
        stalled=row["stalled"],
        last_commit=row["last_commit"],
        blocked_reason=row["blocked_reason"],
    )


def escalation_of(row: RowMapping) -> Escalation | None:
    """What the row says; of an escalation that code of revision 0003 stored, no more than that there is one."""
    if not row["escalated"]:
        return None
    by, why = row["escalated_by"] or BRIDGE, row["escalated_why"] or "no progress"
    return Escalation(by, row["escalated_to"], why, row["escalated_at"] or row["progress_at"])


def to_row(thread: Thread) -> dict[str, Any]:
    """The columns that a decision may change."""
    raised = thread.escalation
    return {
        "status": thread.status.value,
        "turns": thread.turns,
        "last_sender": thread.last_sender,
        "progress_at": thread.progress_at,
        "open_findings": thread.open_findings,
        "escalated": thread.escalated,
        "escalated_by": raised.by if raised else None,
        "escalated_to": raised.owner if raised else None,
        "escalated_why": raised.reason if raised else None,
        "escalated_at": raised.at if raised else None,
        "stalled": thread.stalled,
        "last_commit": thread.last_commit,
        "blocked_reason": thread.blocked_reason,
    }
