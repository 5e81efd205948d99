"""Resolve, block, unblock or close a thread.

Two who race: the first wins. Whoever does not say which status it `expected` goes by the one it finds on arrival; when
that has changed by the time its turn comes, somebody else was first.
"""

from __future__ import annotations

from bridge.core.authority import STATUS_ACTION, check
from bridge.core.caller import Caller
from bridge.core.states import ThreadStatus
from bridge.core.thread import StatusAsked, decide
from bridge.db.deps import Deps
from bridge.db.thread_store import is_member, lock_thread, record_thread, status_of


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

    Raises NotFound, Forbidden, InvalidTransition, InsufficientAuthority, Conflict (it is another status by now).
    """
    policy = deps.policies.current(caller.workspace_id)
    with deps.unit(caller.workspace_id, caller) as uow:
        seen = status_of(uow, thread_id)
        locked = lock_thread(uow, thread_id)
        check(STATUS_ACTION[status], caller.role, own=is_member(uow, thread_id, caller.agent_id))
        now = uow.now(locked.row["updated_at"])
        asked = StatusAsked(status, caller.agent_id, caller.role, reason, expected or seen)
        decision = decide(locked.thread, asked, policy, now)
        if decision.state != locked.thread:
            record_thread(uow, deps.ids, policy, locked, decision.state, decision.effects, now, reason)
    return decision.state.status
