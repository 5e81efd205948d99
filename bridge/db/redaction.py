"""Redacting a stored message: its text goes, also from where else it is kept; its place in the chain stays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from bridge.core.errors import NotFound
from bridge.db.finding_store import forget_finding_text
from bridge.db.thread_store import LockedThread, audit_thread
from bridge.db.uow import UnitOfWork


@dataclass(frozen=True, slots=True)
class Redaction:
    """Who redacted a message, when, and the digest of what its body was."""

    message_id: str
    body_sha256: str
    redacted_at: datetime
    redacted_by: str


_STANDING = text("""
SELECT message_id, encode(body_sha256, 'hex') AS body_sha256, redacted_at, redacted_by, event FROM messages
WHERE thread_id = :thread_id AND seq = :seq
""")
_REDACT = text("SELECT bridge_redact(:thread_id, :seq, :by, CAST(:now AS timestamptz))")


def redact(uow: UnitOfWork, locked: LockedThread, seq: int, by: str, reason: str, now: datetime) -> Redaction:
    """Redact a message of a locked thread, audited; one that is redacted stays as it is. Raises NotFound."""
    thread_id = locked.thread.thread_id
    row = uow.run(_STANDING, {"thread_id": thread_id, "seq": seq}).mappings().one_or_none()
    if row is None:
        raise NotFound(thread_id=thread_id, seq=seq)
    if row["redacted_at"] is not None:
        found = {name: row[name] for name in Redaction.__slots__}
        return Redaction(**found)
    told = uow.run(_REDACT, {"thread_id": thread_id, "seq": seq, "by": by, "now": now}).scalar_one()
    forget_finding_text(uow, thread_id, row["event"])
    audit_thread(uow, locked, "message.redacted", {"seq": seq, "reason": reason} | told, now)
    return Redaction(row["message_id"], told["body_sha256"], now, by)
