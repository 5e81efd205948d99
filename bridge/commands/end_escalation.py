"""Say that what a thread was escalated for is decided."""

from __future__ import annotations

from bridge.core.authority import Action, check
from bridge.core.caller import Caller
from bridge.core.thread import EscalationEnded, decide
from bridge.db.deps import Deps
from bridge.db.thread_store import lock_thread, record_thread


def end_escalation(deps: Deps, caller: Caller, thread_id: str, reason: str | None = None) -> None:
    """The thread is escalated no more; its status stays as it is.

    Raises NotFound, Forbidden, InvalidTransition (it is not escalated), InsufficientAuthority (somebody else's).
    """
    check(Action.ESCALATE, caller.role)
    policy = deps.policies.current(caller.workspace_id)
    with deps.unit(caller.workspace_id, caller) as uow:
        locked = lock_thread(uow, thread_id)
        now = uow.now(locked.row["updated_at"])
        decision = decide(locked.thread, EscalationEnded(caller.agent_id, caller.role, reason), policy, now)
        record_thread(uow, deps.ids, policy, locked, decision.state, decision.effects, now, reason)
