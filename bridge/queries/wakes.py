"""Wakes as people and scripts read them: lists, one, and its whole story."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, and_, or_, select, text

from bridge.core.authority import Action, check, needs_membership
from bridge.core.caller import Caller
from bridge.core.errors import NotFound
from bridge.db.deps import Deps
from bridge.db.thread import participants
from bridge.db.wake import attempts, wake_events, wakes

EVENTS_MAX = 1000


@dataclass(frozen=True, slots=True)
class WakeView:
    """One wake, with what it waits for and until when."""

    wake_id: str
    thread_id: str
    agent_id: str
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
class Step:
    """One transition of a wake: what happened, who did it, by which policy, and why."""

    at: datetime
    event: str
    from_state: str | None
    to_state: str
    reason: str
    why: str | None
    worker: str | None
    policy_version: int
    detail: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try on one rung in one session."""

    attempt_id: str
    rung: str
    session_id: str
    worker: str | None
    begun_at: datetime
    accepted_at: datetime | None
    closed_at: datetime | None
    result: str | None
    why: str | None


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of a wake."""

    wake: WakeView
    steps: tuple[Step, ...]
    attempts: tuple[Attempt, ...]


def list_wakes(
    deps: Deps,
    caller: Caller,
    *,
    state: str | None = None,
    agent: str | None = None,
    thread: str | None = None,
    limit: int = 50,
    before: tuple[datetime, str] | None = None,
) -> list[WakeView]:
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
    query = query.order_by(wakes.c.created_at.desc(), wakes.c.wake_id.desc()).limit(limit)
    with deps.unit(caller.workspace_id, caller) as uow:
        return [_view(row) for row in uow.run(query).mappings()]


_MEMBER = text("SELECT 1 FROM participants WHERE thread_id = :thread_id AND agent_id = :agent_id")


def get_wake(deps: Deps, caller: Caller, wake_id: str) -> WakeView:
    """One wake. Raises NotFound, Forbidden."""
    return explain_wake(deps, caller, wake_id).wake


def explain_wake(deps: Deps, caller: Caller, wake_id: str) -> Story:
    """The wake's whole story: every transition and every attempt. Raises NotFound, Forbidden."""
    with deps.unit(caller.workspace_id, caller) as uow:
        row = uow.run(select(wakes).where(wakes.c.wake_id == wake_id)).mappings().one_or_none()
        if row is None:
            raise NotFound(wake_id=wake_id)
        member = uow.run(
            _MEMBER, {"thread_id": row["thread_id"], "agent_id": caller.agent_id}
        ).scalar_one_or_none()
        check(Action.READ_THREAD, caller.role, own=member is not None)
        steps = (
            select(wake_events)
            .where(wake_events.c.wake_id == wake_id)
            .order_by(wake_events.c.n)
            .limit(EVENTS_MAX)
        )
        tries = (
            select(attempts)
            .where(attempts.c.wake_id == wake_id)
            .order_by(attempts.c.begun_at)
            .limit(EVENTS_MAX)
        )
        found = tuple(_step(step) for step in uow.run(steps).mappings())
        made = tuple(_attempt(attempt) for attempt in uow.run(tries).mappings())
    return Story(_view(row), found, made)


def _view(row: RowMapping) -> WakeView:
    names = [name for name in WakeView.__slots__ if name != "tries"]
    tries = {rung: row[f"tried_{rung}"] for rung in ("live", "resume", "spawn")}
    return WakeView(**{name: row[name] for name in names}, tries=tries)


def _step(row: RowMapping) -> Step:
    return Step(**{name: row[name] for name in Step.__slots__})


def _attempt(row: RowMapping) -> Attempt:
    return Attempt(**{name: row[name] for name in Attempt.__slots__})
