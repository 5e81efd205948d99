"""Runs as operators read them: which processes the bridge started, what for, how long they run, how they ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, text

from bridge.core.authority import Action, check
from bridge.core.caller import Caller
from bridge.core.errors import NotFound
from bridge.db.deps import Deps

WAKES_MAX = 50


@dataclass(frozen=True, slots=True)
class RunView:
    """One run: where its process is, what it was started for, and how it stands at `now`."""

    run_id: str
    agent_id: str
    session_id: str
    native_id: str
    attempt_id: str
    wakes: tuple[str, ...]
    rung: str
    preset: str
    host: str
    worker: str
    slot: int
    state: str
    boot_id: str | None
    shim_pid: int | None
    pid: int | None
    begun_at: datetime
    started_at: datetime | None
    proved_at: datetime | None
    kill_at: datetime
    end_asked_at: datetime | None
    ended_at: datetime | None
    exit_status: int | None
    result: str | None
    why: str | None
    running_s: float
    kill_in_s: float | None
    now: datetime


@dataclass(frozen=True, slots=True)
class RunPage:
    """The newest first, as they stand at `now`."""

    items: tuple[RunView, ...]
    mark: tuple[datetime, str] | None
    now: datetime


_COLUMNS = """
r.run_id, r.agent_id, r.session_id, r.native_id, r.attempt_id, r.rung, r.preset, r.host, r.worker, r.slot, r.state,
r.boot_id, r.shim_pid, r.pid, r.begun_at, r.started_at, r.proved_at, r.kill_at, r.end_asked_at, r.ended_at,
r.exit_status, r.result, r.why,
ARRAY(SELECT x.wake_id FROM attempt_wakes x JOIN attempts a USING (attempt_id) WHERE x.attempt_id = r.attempt_id
    AND (x.wake_id = a.wake_id OR x.handed_at IS NOT NULL) ORDER BY x.wake_id <> a.wake_id, x.wake_id LIMIT :wakes_max
) AS wakes
"""
_LIST = text(f"""
SELECT {_COLUMNS} FROM runs r WHERE r.workspace_id = :workspace_id
    AND (CAST(:state AS text) IS NULL OR r.state = :state)
    AND (CAST(:agent AS text) IS NULL OR r.agent_id = :agent)
    AND (CAST(:host AS text) IS NULL OR r.host = :host)
    AND (CAST(:wake AS text) IS NULL OR r.attempt_id IN (
        SELECT x.attempt_id FROM attempt_wakes x WHERE x.wake_id = :wake))
    AND (CAST(:at AS timestamptz) IS NULL OR (r.begun_at, r.run_id) < (CAST(:at AS timestamptz), :after))
ORDER BY r.begun_at DESC, r.run_id DESC LIMIT :limit
""")  # noqa: S608  columns of ours
_ONE = text(f"SELECT {_COLUMNS} FROM runs r WHERE r.workspace_id = :workspace_id AND r.run_id = :run_id")  # noqa: S608


def list_runs(
    deps: Deps,
    caller: Caller,
    *,
    state: str | None = None,
    agent: str | None = None,
    host: str | None = None,
    wake: str | None = None,
    limit: int = 50,
    before: tuple[datetime, str] | None = None,
) -> RunPage:
    """The workspace's runs, the newest first. Raises Forbidden."""
    check(Action.READ_RUNS, caller.role)
    at, run_id = before or (None, None)
    params: dict[str, Any] = {
        "workspace_id": caller.workspace_id,
        "state": state,
        "agent": agent,
        "host": host,
        "wake": wake,
        "at": at,
        "after": run_id,
        "limit": limit + 1,
        "wakes_max": WAKES_MAX,
    }
    with deps.unit(caller.workspace_id, caller) as uow:
        rows = uow.run(_LIST, params).mappings().all()
        now = uow.now()
    items = tuple(_view(row, now) for row in rows[:limit])
    return RunPage(items, (items[-1].begun_at, items[-1].run_id) if len(rows) > limit else None, now)


def get_run(deps: Deps, caller: Caller, run_id: str) -> RunView:
    """One run. Raises NotFound, Forbidden."""
    check(Action.READ_RUNS, caller.role)
    params = {"workspace_id": caller.workspace_id, "run_id": run_id, "wakes_max": WAKES_MAX}
    with deps.unit(caller.workspace_id, caller) as uow:
        row = uow.run(_ONE, params).mappings().one_or_none()
        now = uow.now()
    if row is None:
        raise NotFound(run_id=run_id)
    return _view(row, now)


def _view(row: RowMapping, now: datetime) -> RunView:
    since, until = row["started_at"] or row["begun_at"], row["ended_at"]
    known = {name: value for name, value in row.items() if name != "wakes"}
    return RunView(
        **known,
        wakes=tuple(row["wakes"]),
        running_s=max(0.0, ((until or now) - since).total_seconds()),
        kill_in_s=None if until else (row["kill_at"] - now).total_seconds(),
        now=now,
    )
