"""A wake's history as rows, and what the audit tells of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bridge.core import wake as core
from bridge.db.wake_store import Locked


def step(
    old: Locked, new: core.Wake, event: str, policy_version: int, now: datetime, by: str = ""
) -> dict[str, Any]:
    """What happened: the state that followed, why, and (`by`) what showed it."""
    return {
        "wake_id": new.wake_id,
        "n": old.version + 1,
        "workspace_id": new.workspace_id,
        "event": event,
        "from_state": old.wake.state.value,
        "to_state": new.state.value,
        "reason": new.reason.value,
        "why": new.why,
        "worker": new.worker or old.wake.worker,
        "policy_version": policy_version,
        "detail": {
            "fence": new.fence,
            "due_at": new.due_at.isoformat(),
            "rung": new.rung.value if new.rung else None,
            "session_id": new.session_id,
            "attempt_id": new.attempt_id,
            "target_seq": new.target_seq,
            "offered_seq": new.offered_seq,
            "accepted": new.accepted_at is not None,
        }
        | ({"by": by} if by else {}),
        "at": now,
    }


def brief(wake: core.Wake) -> dict[str, Any]:
    """What the audit tells of a wake."""
    return {
        "state": wake.state.value,
        "reason": wake.reason.value,
        "target_seq": wake.target_seq,
        "offered_seq": wake.offered_seq,
        "why": wake.cancel or wake.why,
    }


def opened(born: core.Wake, now: datetime) -> dict[str, Any]:
    """The first line of its history."""
    return {
        "wake_id": born.wake_id,
        "n": 1,
        "workspace_id": born.workspace_id,
        "event": "opened",
        "from_state": None,
        "to_state": born.state.value,
        "reason": born.reason.value,
        "why": f"to be read up to {born.target_seq}",
        "worker": None,
        "policy_version": born.policy_version,
        "detail": None,
        "at": now,
    }
