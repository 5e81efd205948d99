"""A service says that it is gone: the operators are told, once for as long as they have not acknowledged it."""

from __future__ import annotations

from bridge.db.deps import Deps
from bridge.db.notice import OPERATORS
from bridge.db.notice_store import tell


def report_service_gone(deps: Deps, workspace_id: str, agent_id: str, preset: str) -> None:
    """Open a notice, or count it to the one that is open."""
    words = (
        f"{agent_id}: its service says that it is gone (HTTP 410), so its preset {preset} is no longer used for it. "
        "Bind the agent anew, or mend the preset, to try again"
    )
    with deps.unit(workspace_id, actor="host") as uow:
        tell(uow, deps.ids, OPERATORS, f"service_gone:{agent_id}", words, uow.now())
