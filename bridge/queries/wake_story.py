"""A wake's whole story: what happened, who did it and by which policy; what it waits for; what comes next.

What lies ahead is asked of the core, which will decide it. Where a process runs is told to those who read runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, select, text

from bridge.core.authority import Action, may
from bridge.core.caller import Caller
from bridge.core.ladder import RungView, rungs
from bridge.core.states import WAKE_OPEN
from bridge.core.wake_outlook import Outlook, outlook
from bridge.db.deps import Deps
from bridge.db.uow import UnitOfWork
from bridge.db.wake import to_core, wake_events
from bridge.db.wake_store import facts
from bridge.queries.messages import MessageReceipt, receipts_for
from bridge.queries.wakes import WakeView, readable_wake, wake_view

EVENTS_MAX = 1000
ATTEMPTS_MAX = 200
MESSAGES_MAX = 20
NOTICES_MAX = 50


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
class AttemptRun:
    """The process that an attempt started. `host` and `pid` are None for who may not read runs."""

    run_id: str
    state: str
    host: str | None
    pid: int | None
    preset: str
    begun_at: datetime
    started_at: datetime | None
    proved_at: datetime | None
    kill_at: datetime
    ended_at: datetime | None
    exit_status: int | None
    result: str | None
    why: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try on one rung in one session. `joined`: another wake's, whose line told of this one too."""

    attempt_id: str
    joined: bool
    rung: str
    session_id: str
    worker: str | None
    begun_at: datetime
    offered_seq: int
    handed_at: datetime | None
    accepted_at: datetime | None
    left_at: datetime | None
    closed_at: datetime | None
    result: str | None
    why: str | None
    run: AttemptRun | None


@dataclass(frozen=True, slots=True)
class Told:
    """A notice that this wake opened, or was counted to."""

    notice_id: str
    audience: str
    cause: str
    text: str
    count: int
    last_at: datetime
    acked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of a wake at `now`. `outlook` is None once it has ended."""

    now: datetime
    wake: WakeView
    outlook: Outlook | None
    ladder: tuple[RungView, ...]
    steps: tuple[Step, ...]
    attempts: tuple[Attempt, ...]
    receipts: tuple[MessageReceipt, ...]
    notices: tuple[Told, ...]
    next_wake_id: str | None


_ATTEMPTS = text("""
SELECT a.attempt_id, a.wake_id <> :wake_id AS joined, a.rung, a.session_id, a.worker, a.begun_at, x.offered_seq,
    x.handed_at, a.accepted_at, x.left_at, a.closed_at, coalesce(x.result, a.result) AS result, a.why,
    r.run_id, r.state AS run_state, r.host AS run_host, r.pid AS run_pid, r.preset AS run_preset,
    r.begun_at AS run_begun_at, r.started_at AS run_started_at, r.proved_at AS run_proved_at, r.kill_at AS run_kill_at,
    r.ended_at AS run_ended_at, r.exit_status AS run_exit_status, r.result AS run_result, r.why AS run_why
FROM attempt_wakes x JOIN attempts a USING (attempt_id) LEFT JOIN runs r USING (attempt_id)
WHERE x.wake_id = :wake_id AND (a.wake_id = :wake_id OR x.handed_at IS NOT NULL) ORDER BY a.begun_at LIMIT :most
""")
# What an earlier wake brought the agent to read is none of this one's.
_FIRST = text("""
SELECT coalesce(max(CASE state WHEN 'acked' THEN offered_seq ELSE target_seq END), 0) + 1 FROM wakes
WHERE thread_id = :thread_id AND agent_id = :agent_id AND state IN ('acked', 'already_active')
    AND created_at < :created_at
""")
_NOTICES = text("""
SELECT notice_id, audience, cause, text, count, last_at, acked_at FROM notices
WHERE workspace_id = :workspace_id AND (wake_id = :wake_id OR (:failed AND cause = :cause
        AND first_at <= :updated_at AND last_at >= :updated_at))
    AND (:all OR audience = :reader) ORDER BY first_at, audience LIMIT :most
""")
_NEXT = text("""
SELECT wake_id FROM wakes WHERE thread_id = :thread_id AND agent_id = :agent_id AND created_at >= :updated_at
    AND wake_id <> :wake_id ORDER BY created_at LIMIT 1
""")


def explain_wake(deps: Deps, caller: Caller, wake_id: str) -> Story:
    """The wake's whole story. Raises NotFound, Forbidden."""
    policy = deps.policies.current(caller.workspace_id)
    fleet = may(Action.READ_RUNS, caller.role)
    with deps.unit(caller.workspace_id, caller) as uow:
        row = readable_wake(uow, caller, wake_id)
        steps = (
            select(wake_events)
            .where(wake_events.c.wake_id == wake_id)
            .order_by(wake_events.c.n)
            .limit(EVENTS_MAX)
        )
        found = tuple(_step(step) for step in uow.run(steps).mappings())
        now = uow.now(row["updated_at"])
        wake = to_core(row)
        known = facts(uow, wake, row["host"], policy, now)
        of = {name: row[name] for name in ("thread_id", "agent_id", "wake_id", "created_at", "updated_at")}
        made = uow.run(_ATTEMPTS, of | {"most": ATTEMPTS_MAX}).mappings()
        return Story(
            now=now,
            wake=wake_view(row, policy, now),
            outlook=outlook(wake, known, policy, now),
            ladder=rungs(wake.tried, known, policy) if wake.state in WAKE_OPEN else (),
            steps=found,
            attempts=tuple(_attempt(attempt, fleet=fleet) for attempt in made),
            receipts=receipts_for(
                uow,
                wake.thread_id,
                wake.agent_id,
                first=uow.run(_FIRST, of).scalar_one(),
                last=wake.target_seq,
                most=MESSAGES_MAX,
            ),
            notices=_notices(uow, caller, of, failed=row["state"] == "failed", fleet=fleet),
            next_wake_id=None if wake.state in WAKE_OPEN else uow.run(_NEXT, of).scalar_one_or_none(),
        )


def _step(row: RowMapping) -> Step:
    return Step(**{name: row[name] for name in Step.__slots__})


def _attempt(row: RowMapping, *, fleet: bool) -> Attempt:
    plain = [name for name in Attempt.__slots__ if name != "run"]
    run = None
    if row["run_id"] is not None:
        names = [name for name in AttemptRun.__slots__ if name not in ("run_id", "host", "pid")]
        run = AttemptRun(
            run_id=row["run_id"],
            host=row["run_host"] if fleet else None,
            pid=row["run_pid"] if fleet else None,
            **{name: row[f"run_{name}"] for name in names},
        )
    return Attempt(**{name: row[name] for name in plain}, run=run)


def _notices(
    uow: UnitOfWork, caller: Caller, of: dict[str, Any], *, failed: bool, fleet: bool
) -> tuple[Told, ...]:
    wanted = of | {
        "workspace_id": caller.workspace_id,
        "cause": f"wake_failed:{of['agent_id']}",
        "failed": failed,
        "all": fleet,
        "reader": caller.agent_id,
        "most": NOTICES_MAX,
    }
    return tuple(Told(**row) for row in uow.run(_NOTICES, wanted).mappings())
