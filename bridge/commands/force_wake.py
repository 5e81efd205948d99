"""Skip what a pending wake waits for, once. The check of the input box is never skipped."""

from __future__ import annotations

from bridge.core.authority import Action, check
from bridge.core.caller import Caller
from bridge.core.wake import decide
from bridge.core.wake_events import Forced, Wake
from bridge.db.deps import Deps
from bridge.db.wake_record import record
from bridge.db.wake_store import lock


def force_wake(deps: Deps, caller: Caller, wake_id: str, reason: str) -> Wake:
    """Make it due now, whoever is typing. Raises NotFound, Forbidden, InvalidTransition when it is not pending."""
    check(Action.FORCE_WAKE, caller.role)
    policy = deps.policies.current(caller.workspace_id)
    with deps.unit(caller.workspace_id, caller) as uow:
        locked = lock(uow, wake_id)
        now = uow.now(locked.updated_at)
        decision = decide(locked.wake, Forced(f"{caller.agent_id}: {reason}"), policy, now)
        record(uow, deps.ids, policy, locked, decision, "forced", now)
    return decision.state
