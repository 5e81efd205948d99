"""Runs: the processes that the bridge started."""

from __future__ import annotations

from bridge.core.states import RunState
from web.schemas.agent import HostName
from web.schemas.base import Answer, Moment, Name, Paged, Reason, Request, ScreenedAnswer


class RunQuery(Paged):
    """Which runs."""

    state: RunState | None = None
    agent: Name | None = None
    host: HostName | None = None
    wake: Name | None = None


class KillRun(Request):
    """Why it is to end."""

    reason: Reason


class RunAnswer(ScreenedAnswer):
    """One run, as it stands at `now`. `exit_status`: its code, or -N for the signal N."""

    run_id: str
    agent_id: str
    session_id: str
    native_id: str
    attempt_id: str
    wakes: list[str]
    rung: str
    preset: str
    host: str
    worker: str
    slot: int
    state: str
    boot_id: str | None
    shim_pid: int | None
    pid: int | None
    begun_at: Moment
    started_at: Moment | None
    proved_at: Moment | None
    kill_at: Moment
    end_asked_at: Moment | None
    ended_at: Moment | None
    exit_status: int | None
    result: str | None
    why: str | None
    running_s: float
    kill_in_s: float | None
    now: Moment


class RunList(Answer):
    """The newest first."""

    items: list[RunAnswer]
    next_cursor: str | None
    now: Moment
