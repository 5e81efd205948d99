"""Take away what a message says, when a secret leaked into it: the hash stays, and the audit says who, when and why."""

from __future__ import annotations

from bridge.core.caller import Caller
from bridge.db.deps import Deps
from bridge.db.redaction import Redaction, redact
from bridge.db.thread_store import lock_thread


def redact_message(deps: Deps, caller: Caller, thread_id: str, seq: int, reason: str) -> Redaction:
    """Its body, metadata and all of its event but the type are gone; the same again is no error. Raises NotFound."""
    with deps.unit(caller.workspace_id, caller) as uow:
        locked = lock_thread(uow, thread_id)
        now = uow.now(locked.row["updated_at"])
        return redact(uow, locked, seq, caller.agent_id, reason, now)
