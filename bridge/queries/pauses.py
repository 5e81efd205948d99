"""What is paused, since when, by whom and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from bridge.core.authority import Action, check
from bridge.core.caller import Caller
from bridge.db.deps import Deps


@dataclass(frozen=True, slots=True)
class PauseView:
    """One pause."""

    scope: str
    reason: str
    by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PausePage:
    """The oldest first; `waiting`: wakes of the workspace that wait for a pause to end."""

    items: tuple[PauseView, ...]
    mark: tuple[datetime, str] | None
    waiting: int
    now: datetime


WAITING_MAX = 10_000
_LIST = text("""
SELECT scope, reason, by, created_at FROM pauses WHERE workspace_id = :workspace_id
    AND (CAST(:at AS timestamptz) IS NULL OR (created_at, scope) > (CAST(:at AS timestamptz), :after))
ORDER BY created_at, scope LIMIT :limit
""")
_WAITING = text("""
SELECT count(*) FROM (SELECT FROM wakes WHERE workspace_id = :workspace_id AND reason = 'paused'
    AND state = 'pending' LIMIT :most) w
""")


def list_pauses(
    deps: Deps, caller: Caller, *, limit: int = 50, after: tuple[datetime, str] | None = None
) -> PausePage:
    """The workspace's pauses. Raises Forbidden."""
    check(Action.READ_FLEET, caller.role)
    at, scope = after or (None, None)
    params = {"workspace_id": caller.workspace_id, "at": at, "after": scope, "limit": limit + 1}
    with deps.unit(caller.workspace_id, caller) as uow:
        found = [PauseView(**row) for row in uow.run(_LIST, params).mappings()]
        waiting = uow.run(_WAITING, params | {"most": WAITING_MAX}).scalar_one()
        now = uow.now()
    items = tuple(found[:limit])
    mark = (items[-1].created_at, items[-1].scope) if len(found) > limit else None
    return PausePage(items, mark, waiting, now)
