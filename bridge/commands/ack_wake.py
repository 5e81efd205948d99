"""The woken agent says: my cursor is at what you offered. The same as moving the cursor there."""

from __future__ import annotations

from sqlalchemy import text

from bridge.core.caller import Caller
from bridge.core.errors import Forbidden, NotFound
from bridge.core.wake import decide
from bridge.core.wake_events import CursorMoved, Wake
from bridge.db.deps import Deps
from bridge.db.wake_record import record
from bridge.db.wake_store import lock

_WHAT = text(
    "SELECT thread_id, agent_id, greatest(offered_seq, offering_seq) AS seq FROM wakes WHERE wake_id = :wake_id"
)
_MOVE = text("""
UPDATE participants SET last_read_seq = greatest(last_read_seq, :seq)
WHERE thread_id = :thread_id AND agent_id = :agent_id RETURNING last_read_seq
""")


def ack_wake(deps: Deps, caller: Caller, wake_id: str) -> Wake:
    """Move the caller's cursor to the offered seq. Raises NotFound, Forbidden for another's wake."""
    policy = deps.policies.current(caller.workspace_id)
    with deps.unit(caller.workspace_id, caller) as uow:
        what = uow.run(_WHAT, {"wake_id": wake_id}).mappings().one_or_none()
        if what is None:
            raise NotFound(wake_id=wake_id)
        if what["agent_id"] != caller.agent_id:
            raise Forbidden("only the agent it wakes can ack a wake", wake_id=wake_id)
        cursor = uow.run(_MOVE, dict(what)).scalar_one()
        locked = lock(uow, wake_id)
        now = uow.now(locked.updated_at)
        decision = decide(locked.wake, CursorMoved(cursor), policy, now)
        record(uow, deps.ids, policy, locked, decision, "cursor_moved", now)
    return decision.state
