"""Who wants a wake: the senders of what it makes read, and who asked for it by hand. They are told when it fails.

Asking by hand is a line of the wake's own history.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from bridge.core.policy import Policy
from bridge.core.wake_events import Wake
from bridge.db.uow import UnitOfWork
from bridge.db.wake import wake_events

_MOVE_ON = text("""
UPDATE wakes SET version = version + 1 WHERE wake_id = :wake_id RETURNING version, state, reason, worker
""")


def note_asked(
    uow: UnitOfWork, policy: Policy, wake_id: str, by: str, event: str, reason: str, now: datetime
) -> None:
    """Note on a wake that this transaction opened, or raised, who asked for it and why."""
    row = uow.run(_MOVE_ON, {"wake_id": wake_id}).mappings().one()
    line = {
        "wake_id": wake_id,
        "n": row["version"],
        "workspace_id": uow.workspace_id,
        "event": event,
        "from_state": row["state"],
        "to_state": row["state"],
        "reason": row["reason"],
        "why": f"asked for by {by}: {reason}",
        "worker": row["worker"],
        "policy_version": policy.version,
        "detail": {"asked_by": by},
        "at": now,
    }
    uow.run(wake_events.insert(), line)


_ASKERS = text("""
SELECT m.sender_agent_id FROM messages m
LEFT JOIN participants p ON p.thread_id = m.thread_id AND p.agent_id = :agent_id
WHERE m.thread_id = :thread_id AND m.seq <= :target_seq AND m.seq > coalesce(p.last_read_seq, 0)
    AND m.sender_agent_id <> :agent_id AND m.kind <> 'system'
UNION
SELECT e.detail->>'asked_by' FROM wake_events e
WHERE e.wake_id = :wake_id AND e.detail->>'asked_by' <> :agent_id
ORDER BY 1 LIMIT 20
""")


def askers(uow: UnitOfWork, wake: Wake) -> list[str]:
    """Who is told when the wake fails, operators apart: at most 20."""
    names = ("thread_id", "agent_id", "target_seq", "wake_id")
    return list(uow.run(_ASKERS, {name: getattr(wake, name) for name in names}).scalars())
