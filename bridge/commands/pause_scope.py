"""Pause the waking of a scope: all, workspace, or one host, runtime, agent or thread. Read before each touch."""

from __future__ import annotations

from bridge.core.caller import Caller
from bridge.db.deps import Deps
from bridge.db.fleet_store import store_pause


def pause_scope(deps: Deps, caller: Caller, scope: str, reason: str) -> None:
    """Wakes of the scope wait from now on, and say so; what is being typed is finished."""
    with deps.unit(caller.workspace_id, caller) as uow:
        store_pause(uow, scope, reason, caller.agent_id)
