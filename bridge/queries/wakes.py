"""Wakes as people and scripts read them: lists, and one. Its whole story is in `wake_story`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, and_, or_, select, text

from bridge.core.authority import Action, check, needs_membership
from bridge.core.caller import Caller
from bridge.core.errors import NotFound
from bridge.core.policy import Policy
from bridge.core.states import WAKE_OPEN
from bridge.core.wake_judgement import human_s
from bridge.db.agent import agents, sessions
from bridge.db.deps import Deps
from bridge.db.thread import participants
from bridge.db.uow import UnitOfWork
from bridge.db.wake import to_core, wakes


@dataclass(frozen=True, slots=True)
class WakeView:
    """One wake as it stands at `now`, with what it waits for and until when.

    `deferred_left_s`: for how long humans may defer it yet; `held_until`: when the hold of its agent's session ends.
    """

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
    since: datetime
    dies_at: datetime
    accepted_at: datetime | None
    why: str | None
    deferred_s: float
    deferred_left_s: float
    held_until: datetime | None
    held_by: str | None
    now: datetime
    policy_version: int
    retry_of: str | None
    created_at: datetime
    updated_at: datetime


_SEAT = and_(agents.c.workspace_id == wakes.c.workspace_id, agents.c.agent_id == wakes.c.agent_id)
_SEATED = and_(
    sessions.c.workspace_id == agents.c.workspace_id, sessions.c.session_id == agents.c.seat_session_id
)
_WAKES = select(wakes, sessions.c.held_until, sessions.c.held_by).select_from(
    wakes.outerjoin(agents, _SEAT).outerjoin(sessions, _SEATED)
)
"""Wakes, each with the hold of the session that its agent sits in."""


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
    policy = deps.policies.current(caller.workspace_id)
    query = _WAKES.where(wakes.c.workspace_id == caller.workspace_id)
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
        rows = uow.run(query).mappings().all()
        now = uow.now()
        found = [wake_view(row, policy, now) for row in rows]
    items = tuple(found[:limit])
    return WakePage(items, (items[-1].created_at, items[-1].wake_id) if len(found) > limit else None, now)


_MEMBER = text("SELECT 1 FROM participants WHERE thread_id = :thread_id AND agent_id = :agent_id")


def get_wake(deps: Deps, caller: Caller, wake_id: str) -> WakeView:
    """One wake. Raises NotFound, Forbidden."""
    policy = deps.policies.current(caller.workspace_id)
    with deps.unit(caller.workspace_id, caller) as uow:
        row = readable_wake(uow, caller, wake_id)
        return wake_view(row, policy, uow.now(row["updated_at"]))


def readable_wake(uow: UnitOfWork, caller: Caller, wake_id: str) -> RowMapping:
    """The wake's row, which the caller may read. Raises NotFound, Forbidden."""
    row = uow.run(_WAKES.where(wakes.c.wake_id == wake_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(wake_id=wake_id)
    who = {"thread_id": row["thread_id"], "agent_id": caller.agent_id}
    member = uow.run(_MEMBER, who).scalar_one_or_none()
    check(Action.READ_THREAD, caller.role, own=member is not None)
    return row


_SHOWN = ("tries", "deferred_left_s", "held_until", "held_by", "now")
"""What is no column of the wake."""


def wake_view(row: RowMapping, policy: Policy, now: datetime) -> WakeView:
    """The row as it is shown."""
    wake = to_core(row)
    held = wake.state in WAKE_OPEN and row["held_until"] is not None and row["held_until"] > now
    return WakeView(
        **{name: row[name] for name in WakeView.__slots__ if name not in _SHOWN},
        tries={rung: row[f"tried_{rung}"] for rung in ("live", "resume", "spawn")},
        deferred_left_s=max(0.0, policy.defer_s_max - wake.deferred_s - human_s(wake, now)),
        held_until=row["held_until"] if held else None,
        held_by=row["held_by"] if held else None,
        now=now,
    )
