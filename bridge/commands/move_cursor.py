"""Move the caller's cursor in a thread: the only ack there is. It only moves forward."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from bridge.core.caller import Caller
from bridge.core.errors import CursorOutOfRange, Forbidden, NotFound
from bridge.core.wake import decide
from bridge.core.wake_events import CursorMoved
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


_READ = text("""
SELECT t.last_seq, p.last_read_seq FROM threads t
LEFT JOIN participants p ON p.thread_id = t.thread_id AND p.agent_id = :agent_id WHERE t.thread_id = :thread_id
""")
_MOVE = text("""
UPDATE participants SET last_read_seq = :cursor
WHERE thread_id = :thread_id AND agent_id = :agent_id AND last_read_seq < :cursor
""")


def move_cursor(deps: Deps, caller: Caller, thread_id: str, last_read_seq: int) -> CursorView:
    """The caller has read up to `last_read_seq`. The same value again is no error.

    Raises NotFound, Forbidden (no participant), CursorOutOfRange (backwards, or past the last message).
    """
    policy = deps.policies.current(caller.workspace_id)
    with deps.unit(caller.workspace_id, caller) as uow:
        params = {"thread_id": thread_id, "agent_id": caller.agent_id, "cursor": last_read_seq}
        moved = False
        row = uow.run(_READ, params).mappings().one_or_none()
        if row is None:
            raise NotFound(thread_id=thread_id)
        if row["last_read_seq"] is None:
            raise Forbidden("you take no part in this thread", thread_id=thread_id)
        if last_read_seq > row["last_seq"]:
            raise CursorOutOfRange(f"the last message is {row['last_seq']}", last_seq=row["last_seq"])
        moved = bool(uow.run(_MOVE, params).rowcount)
        row = uow.run(_READ, params).mappings().one()
        if not moved and row["last_read_seq"] > last_read_seq:
            raise CursorOutOfRange(
                f"the cursor is at {row['last_read_seq']} already", cursor=row["last_read_seq"]
            )
        for locked in lock_open(uow, thread_id, [caller.agent_id]) if moved else ():
            now = uow.now(locked.updated_at)
            decision = decide(locked.wake, CursorMoved(last_read_seq), policy, now)
            record(uow, deps.ids, policy, locked, decision, "cursor_moved", now)
    unread = row["last_seq"] - row["last_read_seq"]
    return CursorView(thread_id, row["last_read_seq"], row["last_seq"], unread)
