"""The woken agent says: my cursor is at what you offered. The same as moving the cursor there."""

from __future__ import annotations

from bridge.core.caller import Caller
from bridge.core.errors import Forbidden
from bridge.core.wake import decide
from bridge.core.wake_events import CursorMoved, Wake
from bridge.db.cursor_store import move_forward, position
from bridge.db.deps import Deps
from bridge.db.wake_record import record
from bridge.db.wake_store import lock_open, look


def ack_wake(deps: Deps, caller: Caller, wake_id: str) -> Wake:
    """Move the caller's cursor to the offered seq. Raises NotFound, Forbidden for another's wake."""
    policy = deps.policies.current(caller.workspace_id)
    with deps.unit(caller.workspace_id, caller) as uow:
        seen = look(uow, wake_id)
        if seen.agent_id != caller.agent_id:
            raise Forbidden("only the agent it wakes can ack a wake", wake_id=wake_id)
        offered = max(seen.offered_seq, seen.offering_seq)
        move_forward(uow, seen.thread_id, caller.agent_id, offered)
        at = position(uow, seen.thread_id, caller.agent_id)
        cursor = at.last_read_seq or 0
        for locked in lock_open(uow, seen.thread_id, [caller.agent_id]):  # it, or the one that followed
            now = uow.now(locked.updated_at)
            decision = decide(locked.wake, CursorMoved(cursor), policy, now)
            record(uow, deps.ids, policy, locked, decision, "cursor_moved", now)
        acked = look(uow, wake_id)
    if at.unreachable:  # whoever reads, lives
        deps.sign_of_life(caller.workspace_id, caller.agent_id)
    return acked
