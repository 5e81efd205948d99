"""An operator ends a run: its host ends the process, with grace; what it was started for is judged then."""

from __future__ import annotations

from bridge.core.authority import Action, check
from bridge.core.caller import Caller
from bridge.core.errors import InvalidTransition
from bridge.core.run import EndAsked, Run, decide
from bridge.core.states import RunState
from bridge.db.deps import Deps
from bridge.db.run_store import lock_run, store_run


def end_run(deps: Deps, caller: Caller, run_id: str, reason: str) -> Run:
    """Ask it to end; its host begins to within seconds. One that is ending goes on ending, for its first reason.

    Raises NotFound, Forbidden, InvalidTransition when it has ended.
    """
    check(Action.MANAGE_FLEET, caller.role)
    with deps.unit(caller.workspace_id, caller) as uow:
        locked = lock_run(uow, run_id)
        if locked.run.state is RunState.ENDED:
            how = f"the run has ended ({locked.run.result}: {locked.run.why}): there is nothing to kill"
            raise InvalidTransition(how, run_id=run_id)
        now = uow.now(locked.updated_at)
        after = decide(locked.run, EndAsked(f"ended by {caller.agent_id}: {reason}"), now).state
        store_run(uow, locked, after, now)
    return after
