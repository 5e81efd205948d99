"""Open a new wake where one ended without being read. It has its own life, and names the old one."""

from __future__ import annotations

from bridge.core.agent import ask_probe
from bridge.core.authority import Action, check
from bridge.core.caller import Caller
from bridge.core.errors import InvalidTransition, ThreadNotOpen
from bridge.core.states import WAKE_OPEN, WAKE_READ, WakeState
from bridge.db.agent_store import change_agent
from bridge.db.deps import Deps
from bridge.db.thread_store import is_member
from bridge.db.wake_asked import note_asked
from bridge.db.wake_record import audit_wake, open_next
from bridge.db.wake_store import lock

NO_REASON = "no reason given"


def retry_wake(deps: Deps, caller: Caller, wake_id: str, reason: str = NO_REASON) -> str:
    """The id of the wake that now stands.

    Raises NotFound, Forbidden, InvalidTransition (it is still open, or was read), ThreadNotOpen.
    """
    policy = deps.policies.current(caller.workspace_id)
    with deps.unit(caller.workspace_id, caller) as uow:
        locked = lock(uow, wake_id)
        check(Action.TRIGGER, caller.role, own=is_member(uow, locked.wake.thread_id, caller.agent_id))
        _check(locked.wake.state)
        now = uow.now(locked.updated_at)
        opened = open_next(uow, deps.ids, policy, locked.wake, locked.wake.target_seq, now, retry_of=wake_id)
        if opened is None:
            raise ThreadNotOpen("the thread is not open")
        change_agent(uow, locked.wake.agent_id, lambda agent: ask_probe(agent, now), now)
        note_asked(uow, policy, opened, caller.agent_id, "retried", reason, now)
        audit_wake(uow, locked, "wake.retried", {"opened": opened, "reason": reason}, now)
    return opened


def _check(state: WakeState) -> None:
    if state in WAKE_OPEN:
        raise InvalidTransition(f"the wake is {state}: let it go on, or force it, or cancel it first")
    if state in WAKE_READ:
        raise InvalidTransition(f"the wake is {state}: the agent has read it, there is nothing to retry")
