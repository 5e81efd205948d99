"""An operator says where an agent is, how it is started, whether it is a human, and whether it is woken at all."""

from __future__ import annotations

from typing import Any

from bridge.core.caller import Caller
from bridge.db.deps import Deps
from bridge.db.fleet_store import store_agent


def put_agent(
    deps: Deps,
    caller: Caller,
    agent_id: str,
    *,
    host: str | None = None,
    preset: str | None = None,
    disabled: bool | None = None,
    is_human: bool | None = None,
) -> None:
    """Set what is given; an agent that nobody knew is known from now on."""
    fields: dict[str, Any] = {"host": host, "preset": preset, "disabled": disabled, "is_human": is_human}
    given = {name: value for name, value in fields.items() if value is not None}
    with deps.unit(caller.workspace_id, caller) as uow:
        store_agent(uow, agent_id, given)
        if host is not None:
            uow.roused.add(agent_id)  # its open wakes follow it there
