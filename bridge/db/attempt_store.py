"""Attempts as their outcome is recorded: which wakes the line told of, and how far it came."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from bridge.db.uow import UnitOfWork

_UNREAD = text("""
SELECT count(*) AS threads, coalesce(sum(t.last_seq - p.last_read_seq), 0) AS unread
FROM attempt_wakes a JOIN wakes w ON w.wake_id = a.wake_id
JOIN threads t ON t.thread_id = w.thread_id
JOIN participants p ON p.thread_id = w.thread_id AND p.agent_id = w.agent_id
WHERE a.attempt_id = :attempt_id
""")
_HAND = text("""
UPDATE attempt_wakes SET handed_at = :now WHERE attempt_id = :attempt_id AND wake_id = :wake_id RETURNING offered_seq
""")
_HANDED = text("UPDATE attempts SET accepted_at = :accepted_at, why = :why WHERE attempt_id = :attempt_id")


_ACCEPTED = text("SELECT accepted_at IS NOT NULL FROM attempts WHERE attempt_id = :attempt_id")
_LOCK = text("SELECT FROM attempts WHERE attempt_id = :attempt_id FOR NO KEY UPDATE")


@dataclass(frozen=True, slots=True)
class Told:
    """What the one line says: so many new messages in so many threads."""

    unread: int
    threads: int


def told(uow: UnitOfWork, attempt_id: str) -> Told:
    """Count what the attempt offers."""
    row = uow.run(_UNREAD, {"attempt_id": attempt_id}).mappings().one()
    return Told(int(row["unread"]), int(row["threads"]))


def hand_over(uow: UnitOfWork, attempt_id: str, wake_id: str, now: datetime) -> int:
    """The line reached the runtime, and with it this wake; gives the seq that was offered."""
    params = {"now": now, "attempt_id": attempt_id, "wake_id": wake_id}
    return int(uow.run(_HAND, params).scalar_one())


def note_outcome(uow: UnitOfWork, attempt_id: str, accepted_at: datetime | None, why: str | None) -> None:
    """Note on the attempt whether the runtime took the text."""
    uow.run(_HANDED, {"accepted_at": accepted_at, "why": why, "attempt_id": attempt_id})


def was_accepted(uow: UnitOfWork, attempt_id: str) -> bool:
    """Whether it is noted that the runtime took the text."""
    return bool(uow.run(_ACCEPTED, {"attempt_id": attempt_id}).scalar_one())


def lock_attempt_row(uow: UnitOfWork, attempt_id: str) -> None:
    """Hold the attempt itself: its run comes after it."""
    uow.run(_LOCK, {"attempt_id": attempt_id})
