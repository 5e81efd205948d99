"""A run moved: its process started, proved whose it is, or has ended. What follows for its wakes follows at once."""

from __future__ import annotations

from datetime import datetime

from bridge.core import run as core
from bridge.core import session as session_core
from bridge.core.agent import offer_seat
from bridge.core.effects import AcceptAttempt, JudgeAttempt, TakeSeat
from bridge.core.policy import Policy
from bridge.core.states import SessionFound
from bridge.core.wake import decide as decide_wake
from bridge.core.wake_events import Accepted, RunOver
from bridge.db.agent_store import change_agent, lock_agent, lock_session, seat_held, store_session
from bridge.db.attempt_store import lock_attempt_row, note_outcome
from bridge.db.deps import Deps
from bridge.db.run_store import free_slot, lock_run, look_run, store_run
from bridge.db.uow import UnitOfWork
from bridge.db.wake_record import record
from bridge.db.wake_store import Locked, facts, lock_attempt


def move_run(deps: Deps, workspace_id: str, run_id: str, event: core.Event, *, worker: str) -> core.Run:
    """The run as it is then. Raises NotFound, Conflict."""
    policy = deps.policies.current(workspace_id)
    with deps.unit(workspace_id, actor=worker) as uow:
        seen = look_run(uow, run_id)
        wakes = lock_attempt(uow, seen.attempt_id)
        lock_agent(uow, seen.agent_id)
        session = lock_session(uow, seen.session_id)
        if isinstance(event, core.Ended):
            free_slot(uow, run_id)
        lock_attempt_row(uow, seen.attempt_id)
        locked = lock_run(uow, run_id)
        now = uow.now(locked.updated_at, *(row.updated_at for row in wakes))
        decision = core.decide(locked.run, event, now)
        run = decision.state
        store_run(uow, locked, run, now)
        for effect in decision.effects:
            match effect:
                case TakeSeat():
                    _prove(uow, policy, run, session, effect, now)
                case AcceptAttempt():
                    note_outcome(uow, run.attempt_id, now, None)
                    _tell(uow, deps, policy, wakes, Accepted(run.attempt_id), now)
                case JudgeAttempt():
                    _end(uow, session, effect, now)
                    _judge(uow, deps, policy, wakes, effect, now)
        if isinstance(event, core.Ended):
            uow.roused.add(run.agent_id)
    return run


FoundSession = tuple[session_core.Session, dict[str, object]] | None


def _prove(
    uow: UnitOfWork, policy: Policy, run: core.Run, session: FoundSession, effect: TakeSeat, now: datetime
) -> None:
    held = seat_held(uow, run.agent_id, run.session_id, policy.heartbeat_s_max, now)
    change_agent(uow, run.agent_id, lambda agent: offer_seat(agent, run.session_id, held=held), now)
    if session is not None:
        proved = session_core.RunProved(run.host, run.native_id, run.preset, effect.resumable)
        after = session_core.decide(session[0], proved, now)
        store_session(uow, session[1], session[0], after, now)


def _end(uow: UnitOfWork, session: FoundSession, effect: JudgeAttempt, now: datetime) -> None:
    if session is not None:
        after = session_core.decide(session[0], session_core.RunEnded(effect.found), now)
        store_session(uow, session[1], session[0], after, now)


def _judge(
    uow: UnitOfWork, deps: Deps, policy: Policy, wakes: list[Locked], effect: JudgeAttempt, now: datetime
) -> None:
    for row in wakes:
        known = facts(uow, row.wake, row.host, policy, now)
        elsewhere = effect.found is SessionFound.ELSEWHERE
        event = RunOver(effect.attempt_id, effect.why, known, elsewhere)
        record(uow, deps.ids, policy, row, decide_wake(row.wake, event, policy, now), "run_over", now)


def _tell(
    uow: UnitOfWork, deps: Deps, policy: Policy, wakes: list[Locked], event: Accepted, now: datetime
) -> None:
    for row in wakes:
        record(uow, deps.ids, policy, row, decide_wake(row.wake, event, policy, now), "accepted", now)
