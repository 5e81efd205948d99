"""Resolve, block, unblock or close a thread. Two who race: the first wins."""

from __future__ import annotations

from bridge.core.authority import STATUS_ACTION, check
from bridge.core.caller import Caller
from bridge.core.states import ThreadStatus
from bridge.core.thread import StatusAsked, decide
from bridge.db.deps import Deps
from bridge.db.thread_store import is_member, lock_thread, record_thread


def set_thread_status(
    deps: Deps,
    caller: Caller,
    thread_id: str,
    *,
    status: ThreadStatus,
    reason: str,
    expected: ThreadStatus | None = None,
) -> ThreadStatus:
    """Ask for a status. Blocking and closing cancel the wakes; unblocking opens one for each who has something unread.

    Raises NotFound, Forbidden, InvalidTransition, InsufficientAuthority, Conflict (`expected` is not the status now).
    """
    policy = deps.policies.current(caller.workspace_id)
    with deps.unit(caller.workspace_id, caller) as uow:
        locked = lock_thread(uow, thread_id)
        check(STATUS_ACTION[status], caller.role, own=is_member(uow, thread_id, caller.agent_id))
        now = uow.now(locked.row["updated_at"])
        asked = StatusAsked(status, caller.agent_id, caller.role, reason, expected)
        decision = decide(locked.thread, asked, policy, now)
        if decision.state != locked.thread:
            record_thread(uow, deps.ids, policy, locked, decision.state, decision.effects, now)
    return decision.state.status
