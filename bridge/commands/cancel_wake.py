"""End an open wake on request; one that is being typed ends when its hand reports."""

from __future__ import annotations

from bridge.core.authority import Action, check
from bridge.core.caller import Caller
from bridge.core.wake import decide
from bridge.core.wake_events import CancelAsked, Wake
from bridge.db.deps import Deps
from bridge.db.thread_store import is_member
from bridge.db.wake_record import record
from bridge.db.wake_store import lock


def cancel_wake(deps: Deps, caller: Caller, wake_id: str, reason: str) -> Wake:
    """Cancel it. Raises NotFound, Forbidden, InvalidTransition when it has ended already."""
    policy = deps.policies.current(caller.workspace_id)
    with deps.unit(caller.workspace_id, caller) as uow:
        locked = lock(uow, wake_id)
        check(Action.CANCEL_WAKE, caller.role, own=is_member(uow, locked.wake.thread_id, caller.agent_id))
        now = uow.now(locked.updated_at)
        decision = decide(locked.wake, CancelAsked(f"cancelled by {caller.agent_id}: {reason}"), policy, now)
        record(uow, deps.ids, policy, locked, decision, "cancel_asked", now)
    return decision.state
