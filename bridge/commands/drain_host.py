"""An operator lets a host drain: nothing new is started there, what runs goes on, live sessions are woken as ever."""

from __future__ import annotations

from bridge.core.authority import HOME_WORKSPACE
from bridge.core.caller import Caller
from bridge.core.errors import OutOfScopeWorkspace
from bridge.db.deps import Deps
from bridge.db.fleet_store import store_draining


def drain_host(deps: Deps, caller: Caller, host: str, *, draining: bool, reason: str) -> None:
    """Let it drain, or no longer. Raises NotFound, OutOfScopeWorkspace: hosts serve every workspace."""
    if caller.workspace_id != HOME_WORKSPACE:
        raise OutOfScopeWorkspace(
            "only operators of the home workspace change hosts: they serve every workspace"
        )
    with deps.unit(caller.workspace_id, caller) as uow:
        store_draining(uow, host, reason, draining=draining)
