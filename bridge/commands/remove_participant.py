"""Take an agent out of a thread; the wake that would have it read there ends."""

from __future__ import annotations

from bridge.core.caller import Caller
from bridge.core.errors import NotFound
from bridge.core.wake import decide
from bridge.core.wake_events import CancelAsked
from bridge.db.deps import Deps
from bridge.db.membership_store import leave, note_members
from bridge.db.thread_store import lock_thread, members
from bridge.db.wake_record import record
from bridge.db.wake_store import lock_open


def remove_participant(deps: Deps, caller: Caller, thread_id: str, agent_id: str) -> None:
    """It takes no part any more; what it wrote stays. Raises NotFound."""
    policy = deps.policies.current(caller.workspace_id)
    with deps.unit(caller.workspace_id, caller) as uow:
        locked = lock_thread(uow, thread_id)
        now = uow.now(locked.row["updated_at"])
        roles = {member.agent_id: member.role for member in members(uow, thread_id)}
        if not leave(uow, thread_id, agent_id):
            raise NotFound("that agent takes no part in the thread", agent_id=agent_id)
        for wake in lock_open(uow, thread_id, [agent_id]):
            at = max(now, wake.updated_at)
            asked = CancelAsked(f"{caller.agent_id} took {agent_id} out of the thread")
            record(
                uow, deps.ids, policy, wake, decide(wake.wake, asked, policy, at), "participant_removed", at
            )
        was = (agent_id, roles[agent_id])
        note_members(uow, locked, "participant_removed", was=was, now_is=None, change=-1, now=now)
