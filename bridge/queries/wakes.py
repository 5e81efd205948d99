"""Wakes as people and scripts read them: lists, and one. Its whole story is in `wake_story`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, and_, or_, select, text

from bridge.core.authority import Action, check, needs_membership
from bridge.core.caller import Caller
from bridge.core.errors import NotFound
from bridge.db.deps import Deps
from bridge.db.thread import participants
from bridge.db.uow import UnitOfWork
from bridge.db.wake import wakes


@dataclass(frozen=True, slots=True)
class WakeView:
    """One wake, with what it waits for and until when."""

    wake_id: str
    thread_id: str
    agent_id: str
    host: str
    state: str
    reason: str
    target_seq: int
    offered_seq: int
    rung: str | None
    session_id: str | None
    attempts: int
    tries: dict[str, int]
    due_at: datetime
    dies_at: datetime
    accepted_at: datetime | None
    why: str | None
    deferred_s: float
    policy_version: int
    retry_of: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class WakePage:
    """The newest first, as they stand at `now`."""

    items: tuple[WakeView, ...]
    mark: tuple[datetime, str] | None
    now: datetime


def list_wakes(
    deps: Deps,
    caller: Caller,
    *,
    state: str | None = None,
    agent: str | None = None,
    thread: str | None = None,
    limit: int = 50,
    before: tuple[datetime, str] | None = None,
) -> WakePage:
    """The newest first; those of the caller's own threads where its role says so."""
    check(Action.READ_THREAD, caller.role, own=True)
    query = select(wakes).where(wakes.c.workspace_id == caller.workspace_id)
    for column, value in ((wakes.c.state, state), (wakes.c.agent_id, agent), (wakes.c.thread_id, thread)):
        query = query if value is None else query.where(column == value)
    if before is not None:
        at, wake_id = before
        older = or_(wakes.c.created_at < at, and_(wakes.c.created_at == at, wakes.c.wake_id < wake_id))
        query = query.where(older)
    if needs_membership(Action.READ_THREAD, caller.role):
        mine = select(participants.c.thread_id).where(
            participants.c.workspace_id == caller.workspace_id, participants.c.agent_id == caller.agent_id
        )
        query = query.where(wakes.c.thread_id.in_(mine))
    query = query.order_by(wakes.c.created_at.desc(), wakes.c.wake_id.desc()).limit(limit + 1)
    with deps.unit(caller.workspace_id, caller) as uow:
        found = [wake_view(row) for row in uow.run(query).mappings()]
        now = uow.now()
    items = tuple(found[:limit])
    return WakePage(items, (items[-1].created_at, items[-1].wake_id) if len(found) > limit else None, now)


_MEMBER = text("SELECT 1 FROM participants WHERE thread_id = :thread_id AND agent_id = :agent_id")


def get_wake(deps: Deps, caller: Caller, wake_id: str) -> WakeView:
    """One wake. Raises NotFound, Forbidden."""
    with deps.unit(caller.workspace_id, caller) as uow:
        return wake_view(readable_wake(uow, caller, wake_id))


def readable_wake(uow: UnitOfWork, caller: Caller, wake_id: str) -> RowMapping:
    """The wake's row, which the caller may read. Raises NotFound, Forbidden."""
    row = uow.run(select(wakes).where(wakes.c.wake_id == wake_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(wake_id=wake_id)
    who = {"thread_id": row["thread_id"], "agent_id": caller.agent_id}
    member = uow.run(_MEMBER, who).scalar_one_or_none()
    check(Action.READ_THREAD, caller.role, own=member is not None)
    return row


def wake_view(row: RowMapping) -> WakeView:
    """The row as it is shown."""
    names = [name for name in WakeView.__slots__ if name != "tries"]
    tries = {rung: row[f"tried_{rung}"] for rung in ("live", "resume", "spawn")}
    return WakeView(**{name: row[name] for name in names}, tries=tries)
