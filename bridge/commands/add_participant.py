"""Let an agent take part in a thread, or give a participant another role. The same again is no error."""

from __future__ import annotations

from bridge.core.caller import Caller
from bridge.core.errors import InvalidArgument, ThreadNotOpen
from bridge.core.states import ThreadStatus
from bridge.db.deps import Deps
from bridge.db.membership_store import join, note_members
from bridge.db.thread_store import lock_thread, members


def add_participant(deps: Deps, caller: Caller, thread_id: str, agent_id: str, role: str | None) -> bool:
    """True when it is new there. Raises NotFound, ThreadNotOpen (closed), InvalidArgument (the thread is full)."""
    with deps.unit(caller.workspace_id, caller) as uow:
        locked = lock_thread(uow, thread_id)
        if locked.thread.status is ThreadStatus.CLOSED:
            raise ThreadNotOpen(thread_id=thread_id)
        known = {member.agent_id: member.role for member in members(uow, thread_id)}
        if agent_id in known and known[agent_id] == role:
            return False
        if agent_id not in known and len(known) >= deps.settings.participants_max:
            raise InvalidArgument(f"a thread has at most {deps.settings.participants_max} participants")
        now = uow.now(locked.row["updated_at"])
        joined = join(uow, thread_id, [(agent_id, role)], now)
        what = "participant_added" if joined else "participant_changed"
        was = (agent_id, known[agent_id]) if agent_id in known else None
        note_members(uow, locked, what, was=was, now_is=(agent_id, role), change=joined, now=now)
    return bool(joined)
