"""The probe found something in the way: the wake goes back to pending and says what it waits for. No try is burnt."""

from __future__ import annotations

from bridge.core.states import WaitReason
from bridge.core.wake import decide
from bridge.core.wake_events import Postponed, Wake
from bridge.db.deps import Deps
from bridge.db.wake_record import record
from bridge.db.wake_store import lock


def postpone_wake(
    deps: Deps,
    workspace_id: str,
    wake_id: str,
    *,
    fence: int,
    reason: WaitReason,
    why: str = "",
    worker: str = "bridge",
) -> Wake:
    """Give a claimed wake back. Raises FenceRejected when this hand no longer holds it."""
    policy = deps.policies.current(workspace_id)
    with deps.unit(workspace_id, actor=worker) as uow:
        locked = lock(uow, wake_id)
        now = uow.now(locked.updated_at)
        decision = decide(locked.wake, Postponed(fence, reason, why), policy, now)
        record(uow, deps.ids, policy, locked, decision, "postponed", now)
    return decision.state
