"""The agent is ready for its next line, or gave a sign of life: its open wakes look again."""

from __future__ import annotations

from bridge.db.deps import Deps
from bridge.db.wake_record import rouse


def rouse_agent(deps: Deps, workspace_id: str, agent_id: str, *, alive: bool = True) -> None:
    """Let the agent's open wakes look now; `alive` also extends what it accepted, and closes its breaker."""
    policy = deps.policies.current(workspace_id)
    with deps.unit(workspace_id, actor="host") as uow:
        rouse(uow, deps.ids, policy, agent_id, alive=alive)
