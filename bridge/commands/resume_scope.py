"""End the pause of a scope. Wakes that waited for it look again at their next recheck."""

from __future__ import annotations

from bridge.core.caller import Caller
from bridge.core.errors import NotFound
from bridge.db.deps import Deps
from bridge.db.fleet_store import remove_pause


def resume_scope(deps: Deps, caller: Caller, scope: str, reason: str) -> None:
    """End it. Raises NotFound when exactly this scope is not paused."""
    with deps.unit(caller.workspace_id, caller) as uow:
        if not remove_pause(uow, scope, reason):
            raise NotFound(f"{scope} is not paused", scope=scope)
