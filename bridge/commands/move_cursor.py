"""Move the caller's cursor in a thread: the only ack there is. It only moves forward."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.core.caller import Caller
from bridge.core.errors import CursorOutOfRange, Forbidden
from bridge.core.wake import decide
from bridge.core.wake_events import CursorMoved
from bridge.db.cursor_store import move_forward, position
from bridge.db.deps import Deps
from bridge.db.wake_record import record
from bridge.db.wake_store import lock_open


@dataclass(frozen=True, slots=True)
class CursorView:
    """Where the cursor is, and what is left to read."""

    thread_id: str
    last_read_seq: int
    last_seq: int
    unread: int


def move_cursor(deps: Deps, caller: Caller, thread_id: str, last_read_seq: int) -> CursorView:
    """The caller has read up to `last_read_seq`. The same value again is no error.

    Raises NotFound, Forbidden (no participant), CursorOutOfRange (backwards, or past the last message).
    """
    policy = deps.policies.current(caller.workspace_id)
    with deps.unit(caller.workspace_id, caller) as uow:
        at = position(uow, thread_id, caller.agent_id)
        if at.last_read_seq is None:
            raise Forbidden("you take no part in this thread", thread_id=thread_id)
        if last_read_seq > at.last_seq:
            raise CursorOutOfRange(f"the last message is {at.last_seq}", last_seq=at.last_seq)
        moved = move_forward(uow, thread_id, caller.agent_id, last_read_seq)
        cursor = last_read_seq if moved else position(uow, thread_id, caller.agent_id).last_read_seq or 0
        if cursor > last_read_seq:
            raise CursorOutOfRange(f"the cursor is at {cursor} already", cursor=cursor)
        for locked in lock_open(uow, thread_id, [caller.agent_id]) if moved else ():
            now = uow.now(locked.updated_at)
            decision = decide(locked.wake, CursorMoved(last_read_seq), policy, now)
            record(uow, deps.ids, policy, locked, decision, "cursor_moved", now)
    if at.unreachable:  # whoever reads, lives
        deps.sign_of_life(caller.workspace_id, caller.agent_id)
    return CursorView(thread_id, cursor, at.last_seq, at.last_seq - cursor)
