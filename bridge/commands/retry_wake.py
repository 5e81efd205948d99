"""Open a new wake where one ended without being read. It has its own life, and names the old one."""

from __future__ import annotations

from bridge.core.agent import ask_probe
from bridge.core.authority import Action, check
from bridge.core.caller import Caller
from bridge.core.errors import InvalidTransition, ThreadNotOpen
from bridge.core.states import WAKE_OPEN
from bridge.db.agent_store import change_agent
from bridge.db.deps import Deps
from bridge.db.thread_store import is_member
from bridge.db.wake_record import audit_wake, open_next
from bridge.db.wake_store import lock


def retry_wake(deps: Deps, caller: Caller, wake_id: str) -> str:
    """The id of the wake that now stands. Raises NotFound, Forbidden, InvalidTransition (still open), ThreadNotOpen."""
    policy = deps.policies.current(caller.workspace_id)
    with deps.unit(caller.workspace_id, caller) as uow:
        locked = lock(uow, wake_id)
        check(Action.TRIGGER, caller.role, own=is_member(uow, locked.wake.thread_id, caller.agent_id))
        if locked.wake.state in WAKE_OPEN:
            raise InvalidTransition(f"the wake is {locked.wake.state}: cancel it first, or let it go on")
        now = uow.now(locked.updated_at)
        opened = open_next(uow, deps.ids, policy, locked.wake, locked.wake.target_seq, now, retry_of=wake_id)
        if opened is None:
            raise ThreadNotOpen("the thread is not open")
        change_agent(uow, locked.wake.agent_id, lambda agent: ask_probe(agent, now), now)
        audit_wake(uow, locked, "wake.retried", {"opened": opened}, now)
    return opened
