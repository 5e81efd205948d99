"""A slot became free: one wake that waits for one looks again."""

from __future__ import annotations

from bridge.core.states import WaitReason, WakeState
from bridge.core.wake import decide
from bridge.core.wake_events import SignOfLife
from bridge.db.deps import Deps
from bridge.db.wake_record import record
from bridge.db.wake_store import lock


def rouse_wake(deps: Deps, workspace_id: str, wake_id: str) -> None:
    """Let it look now, if it still waits for a slot. Raises NotFound, Conflict."""
    policy = deps.policies.current(workspace_id)
    with deps.unit(workspace_id, actor="host") as uow:
        locked = lock(uow, wake_id)
        if (locked.wake.state, locked.wake.reason) != (WakeState.PENDING, WaitReason.SLOT):
            return
        now = uow.now(locked.updated_at)
        record(
            uow, deps.ids, policy, locked, decide(locked.wake, SignOfLife(), policy, now), "slot_free", now
        )
