"""An operator has seen a notice: the next of the same cause is a new one."""

from __future__ import annotations

from bridge.core.caller import Caller
from bridge.db.deps import Deps
from bridge.db.fleet_store import store_ack


def ack_notice(deps: Deps, caller: Caller, notice_id: str) -> None:
    """Close it; closed already is no error. Raises NotFound."""
    with deps.unit(caller.workspace_id, caller) as uow:
        store_ack(uow, notice_id, caller.agent_id)
