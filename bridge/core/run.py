"""The run: a process that the bridge started to wake an agent, from its row to the end of its last descendant.

Its end is an event of its own, told once no process of it lives: what was offered by it is judged then, at once.
A run that was asked to end proves nothing any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from bridge.core.effects import AcceptAttempt, JudgeAttempt, TakeSeat
from bridge.core.states import Rung, RunResult, RunState, SessionFound


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `native_id` is the program's own name of its session; `slot` is held until it has ended."""

    run_id: str
    workspace_id: str
    agent_id: str
    session_id: str
    native_id: str
    attempt_id: str
    rung: Rung
    preset: str
    host: str
    worker: str
    slot: int
    begun_at: datetime
    kill_at: datetime
    state: RunState = RunState.STARTING
    boot_id: str | None = None
    shim_pid: int | None = None
    pid: int | None = None
    pid_started: int | None = None
    started_at: datetime | None = None
    proved_at: datetime | None = None
    end_asked_at: datetime | None = None
    ended_at: datetime | None = None
    exit_status: int | None = None
    result: RunResult | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """Its process runs: where to find it from outside."""

    boot_id: str
    shim_pid: int
    pid: int
    pid_started: int


@dataclass(frozen=True, slots=True)
class Proved:
    """Its first event showed whose session it is; `resumable`: its preset can resume what it started."""

    native_id: str
    resumable: bool = False


@dataclass(frozen=True, slots=True)
class EndAsked:
    """It is to end: a deadline, a cancel, an operator, or somebody else holds its session now."""

    why: str


@dataclass(frozen=True, slots=True)
class Ended:
    """No process of it lives. `found`: why it could not go on with its session, where it said so."""

    result: RunResult
    status: int | None = None
    why: str = ""
    found: SessionFound | None = None


Event = Started | Proved | EndAsked | Ended
EVENTS: tuple[type[Any], ...] = tuple(Event.__args__)
Effect = AcceptAttempt | JudgeAttempt | TakeSeat


class Decision(NamedTuple):
    """What the run becomes, and what follows for the wakes that it was started for."""

    state: Run
    effects: tuple[Effect, ...] = ()


Rule = Callable[[Run, Any, datetime], Decision]


def _started(run: Run, event: Started, now: datetime) -> Decision:
    seen = replace(
        run,
        boot_id=event.boot_id,
        shim_pid=event.shim_pid,
        pid=event.pid,
        pid_started=event.pid_started,
        started_at=now,
    )
    return Decision(replace(seen, state=RunState.RUNNING) if run.state is RunState.STARTING else seen)


def _proved(run: Run, event: Proved, now: datetime) -> Decision:
    if run.proved_at is not None:
        return Decision(run)
    proved = replace(run, native_id=event.native_id, proved_at=now)
    return Decision(proved, (TakeSeat(run.session_id, event.resumable), AcceptAttempt(run.attempt_id)))


def _end_asked(run: Run, event: EndAsked, now: datetime) -> Decision:
    return Decision(replace(run, state=RunState.ENDING, end_asked_at=now, why=event.why))


def _ended(run: Run, event: Ended, now: datetime) -> Decision:
    why = run.why or event.why or event.result.value
    # A session that is open elsewhere is no crash: three of these would be a crash loop, and spawn beside it.
    result = RunResult.LOST if event.found is SessionFound.ELSEWHERE else event.result
    ended = replace(run, state=RunState.ENDED, ended_at=now, result=result, exit_status=event.status, why=why)
    return Decision(
        ended,
        (JudgeAttempt(run.attempt_id, f"its process ended before the message was read: {why}", event.found),),
    )


def _nothing(run: Run, event: Any, now: datetime) -> Decision:  # noqa: ANN401  whatever comes too late
    del event, now
    return Decision(run)


S = RunState
TRANSITIONS: dict[tuple[RunState, type[Any]], Rule] = {
    (S.STARTING, Started): _started,
    (S.STARTING, Proved): _proved,
    (S.STARTING, EndAsked): _end_asked,
    (S.STARTING, Ended): _ended,
    (S.RUNNING, Started): _nothing,
    (S.RUNNING, Proved): _proved,
    (S.RUNNING, EndAsked): _end_asked,
    (S.RUNNING, Ended): _ended,
    (S.ENDING, Started): _started,
    (S.ENDING, Proved): _nothing,
    (S.ENDING, EndAsked): _nothing,
    (S.ENDING, Ended): _ended,
    **{(S.ENDED, event): _nothing for event in EVENTS},
}


def decide(run: Run, event: Event, now: datetime) -> Decision:
    """What the run becomes; what comes after its end changes nothing."""
    return TRANSITIONS[run.state, type(event)](run, event, now)
