"""Recording what the core decided about a wake: the guarded update, its history, its audit, its effects.

All in the transaction that holds the wake's lock, in the lock order: wake, agent, attempt, notice, audit.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, text, update

from bridge.core import agent as breaker
from bridge.core import wake as core
from bridge.core.effects import (
    BeginAttempt,
    Effect,
    LeaveAttempt,
    MarkUnreachable,
    MoveTo,
    Notify,
    OpenNext,
    TakeProbe,
)
from bridge.core.errors import Conflict
from bridge.core.policy import Policy
from bridge.core.states import WAKE_OPEN, Rung, WaitReason, WakeState
from bridge.core.wake_events import SignOfLife
from bridge.db.agent_store import change_agent, take_probe
from bridge.db.figures import wake_figures
from bridge.db.notice import OPERATORS
from bridge.db.notice_store import tell
from bridge.db.run_store import end_unread_run, insert_run, reserve_run
from bridge.db.uow import UnitOfWork
from bridge.db.wake import ROW_NAMES, to_row, wake_events, wakes
from bridge.db.wake_asked import askers
from bridge.db.wake_history import brief, opened, step
from bridge.db.wake_store import Locked, lock_open_of_agent, ring
from bridge.ports.ids import IdSource

S = WakeState
FREED = frozenset({WaitReason.SLOT, WaitReason.BUSY, WaitReason.HELD})
"""What is over when a session is free, its program ready, or its hold ended; none of these is a sign of life."""
FORCED = "forced"
"""The event of an operator's force: who and why is written down each time."""
CLAIMS = frozenset({(S.PENDING, S.DELIVERING), (S.DELIVERING, S.PENDING), (S.PENDING, S.PENDING)})
"""Claims, what gives them back, and waiting: in the wake's own history, not in the audit."""


_EXTRA = ("host", "version", "rung_until", "updated_at", "audit_n", "audit_head")
_RECORD = (
    update(wakes)
    .where(
        wakes.c.wake_id == bindparam("b_wake_id"),
        wakes.c.version == bindparam("b_version"),
        wakes.c.state == bindparam("b_state"),
    )
    .values({name: bindparam(name) for name in (*ROW_NAMES, *_EXTRA) if name != "wake_id"})
)


def record(
    uow: UnitOfWork,
    ids: IdSource,
    policy: Policy,
    old: Locked,
    decision: core.Decision,
    event: str,
    now: datetime,
    *,
    by: str = "",
) -> None:
    """Store the decision and carry out its effects; rings what became due. Raises Conflict if the row moved.

    `by`: what showed how far a hand came, for its history.
    """
    new = decision.state
    hosts = [effect.host for effect in decision.effects if isinstance(effect, MoveTo)]
    if new != old.wake or hosts:
        _store(uow, replace(old, host=hosts[0] if hosts else old.host), new, event, policy.version, now, by)
    for effect in sorted(decision.effects, key=_in_lock_order):
        _carry_out(uow, ids, policy, old, new, effect, now)


_LOCK_ORDER: tuple[type[Effect], ...] = (
    MarkUnreachable,
    TakeProbe,
    OpenNext,
    BeginAttempt,
    LeaveAttempt,
    Notify,
)


def _in_lock_order(effect: Effect) -> int:
    return _LOCK_ORDER.index(type(effect)) if isinstance(effect, _LOCK_ORDER) else len(_LOCK_ORDER)


def _store(
    uow: UnitOfWork, old: Locked, new: core.Wake, event: str, policy_version: int, now: datetime, by: str
) -> None:
    n, head = old.audit_n, old.audit_head
    moved = old.wake.state is not new.state
    asked = event == FORCED or new.cancel != old.wake.cancel
    if asked or (moved and (old.wake.state, new.state) not in CLAIMS):
        what = event if asked and not moved else new.state
        said = uow.said("wake", new.wake_id, f"wake.{what}", brief(old.wake), brief(new))
        n, head = uow.audit(said, n=n, head=head, at=now)
    due_now = new.state in WAKE_OPEN and new.due_at <= now
    values = to_row(new) | {
        "host": old.host,
        "version": old.version + 1,
        "rung_until": new.due_at + timedelta(seconds=1) if due_now else None,
        "updated_at": now,
        "audit_n": n,
        "audit_head": head,
        "b_wake_id": new.wake_id,
        "b_version": old.version,
        "b_state": old.wake.state.value,
    }
    if uow.run(_RECORD, values).rowcount != 1:
        raise Conflict("the wake was changed by another hand", wake_id=new.wake_id)
    if moved:
        uow.noted += wake_figures(new, now)
    if moved or asked or old.wake.reason is not new.reason or old.wake.accepted_at != new.accepted_at:
        uow.run(wake_events.insert(), step(old, new, event, policy_version, now, by))
    if due_now:
        ring(uow, new, old.host)


_AUDITED = text("UPDATE wakes SET audit_n = :n, audit_head = :head WHERE wake_id = :wake_id")


def audit_wake(uow: UnitOfWork, locked: Locked, what: str, after: dict[str, Any], now: datetime) -> None:
    """What was done about a locked wake without changing it: who, and why."""
    said = uow.said("wake", locked.wake.wake_id, what, {}, after)
    n, head = uow.audit(said, n=locked.audit_n, head=locked.audit_head, at=now)
    uow.run(_AUDITED, {"n": n, "head": head, "wake_id": locked.wake.wake_id})


def _carry_out(
    uow: UnitOfWork,
    ids: IdSource,
    policy: Policy,
    old: Locked,
    wake: core.Wake,
    effect: Effect,
    now: datetime,
) -> None:
    match effect:
        case BeginAttempt():
            _begin(uow, ids, policy, wake, effect, old.host, now)
        case LeaveAttempt():
            leave_attempt(uow, wake, effect.attempt_id, effect.result, now)
        case OpenNext():
            open_next(uow, ids, policy, wake, effect.target_seq, now)
        case Notify():
            _notify(uow, ids, wake, effect, now)
        case MarkUnreachable():
            change_agent(uow, wake.agent_id, lambda agent: breaker.wake_failed(agent, policy, now), now)
        case TakeProbe():
            take_probe(uow, wake.agent_id, effect.seen, policy, now)
        case _:  # Probe: the hand that claimed it looks, after the commit. MoveTo: stored with the wake
            return


_BEGIN = text("""
INSERT INTO attempts (attempt_id, workspace_id, wake_id, agent_id, thread_id, session_id, rung, fence, worker, begun_at)
VALUES (:attempt_id, :workspace_id, :wake_id, :agent_id, :thread_id, :session_id, :rung, :fence, :worker, :now)
""")
_OFFER = text("""
INSERT INTO attempt_wakes (attempt_id, wake_id, workspace_id, offered_seq)
SELECT :attempt_id, wake_id, workspace_id, target_seq FROM wakes
WHERE workspace_id = :workspace_id AND agent_id = :agent_id AND (wake_id = :wake_id
    OR (state = 'pending' AND (due_at <= :now OR reason = 'slot')))
""")


def _begin(
    uow: UnitOfWork,
    ids: IdSource,
    policy: Policy,
    wake: core.Wake,
    effect: BeginAttempt,
    host: str,
    now: datetime,
) -> None:
    run = None
    if effect.rung is not Rung.LIVE:
        worker = wake.worker or "?"
        run = reserve_run(uow, ids, policy, wake.agent_id, effect, host=host, worker=worker, now=now)
    params = {
        "attempt_id": effect.attempt_id,
        "workspace_id": wake.workspace_id,
        "wake_id": wake.wake_id,
        "agent_id": wake.agent_id,
        "thread_id": wake.thread_id,
        "session_id": effect.session_id,
        "rung": effect.rung.value,
        "fence": effect.fence,
        "worker": wake.worker,
        "now": now,
    }
    uow.run(_BEGIN, params)
    uow.run(_OFFER, params)
    if run is not None:
        insert_run(uow, run, now)


_LOCK_ATTEMPT = text("SELECT agent_id FROM attempts WHERE attempt_id = :attempt_id FOR NO KEY UPDATE")
_LEAVE = text("""
UPDATE attempt_wakes SET left_at = :now, result = :result
WHERE attempt_id = :attempt_id AND wake_id = :wake_id AND left_at IS NULL
""")
_CLOSE = text("""
UPDATE attempts SET closed_at = :now, result = :result, why = :why
WHERE attempt_id = :attempt_id AND closed_at IS NULL AND NOT EXISTS (
    SELECT FROM attempt_wakes a WHERE a.attempt_id = :attempt_id AND a.left_at IS NULL
        AND (a.handed_at IS NOT NULL OR a.wake_id = attempts.wake_id))
RETURNING agent_id
""")


def leave_attempt(uow: UnitOfWork, wake: core.Wake, attempt_id: str, result: str, now: datetime) -> None:
    """Take the wake out of the attempt; the last one out frees the session, and the agent's other wakes look again."""
    params = {
        "attempt_id": attempt_id,
        "wake_id": wake.wake_id,
        "result": result,
        "why": wake.why,
        "now": now,
    }
    uow.run(_LOCK_ATTEMPT, params)
    uow.run(_LEAVE, params)
    if uow.run(_CLOSE, params).rowcount:
        end_unread_run(uow, attempt_id, wake.why or result)
        uow.roused.add(wake.agent_id)


_NEXT = text("""
INSERT INTO wakes (wake_id, workspace_id, thread_id, agent_id, host, state, reason, target_seq, due_at, rung_until,
    dies_at, since, policy_version, retry_of, created_at, updated_at)
SELECT :wake_id, :workspace_id, :thread_id, :agent_id, coalesce(a.host, 'local'), 'pending', :reason, :target_seq,
    least(:due_at, :dies_at), CASE WHEN :due_at <= :now THEN CAST(:due_at AS timestamptz) + interval '1 s' END,
    :dies_at, :now, :policy_version, :retry_of, :now, :now
FROM threads t LEFT JOIN agents a ON a.workspace_id = :workspace_id AND a.agent_id = :agent_id
WHERE t.thread_id = :thread_id AND (t.status IN ('active', 'resolved') OR a.is_human)
ON CONFLICT (thread_id, agent_id) WHERE state IN ('pending', 'delivering', 'touching', 'waiting')
DO UPDATE SET target_seq = greatest(wakes.target_seq, excluded.target_seq), version = wakes.version + 1,
    due_at = CASE WHEN wakes.reason = 'first' AND wakes.attempts = 0 AND wakes.state = 'pending'
        AND wakes.due_at > :now THEN least(wakes.due_at, excluded.due_at) ELSE wakes.due_at END,
    dies_at = CASE WHEN wakes.reason = 'first' AND wakes.attempts = 0 AND wakes.state = 'pending'
        AND wakes.due_at > :now THEN least(wakes.dies_at, excluded.dies_at) ELSE wakes.dies_at END
RETURNING wake_id, host, (xmax = 0) AS born
""")


_PROBE_AT = text("SELECT probe_at FROM agents WHERE workspace_id = :workspace_id AND agent_id = :agent_id")


def open_next(
    uow: UnitOfWork,
    ids: IdSource,
    policy: Policy,
    old: core.Wake,
    target_seq: int,
    now: datetime,
    *,
    retry_of: str | None = None,
) -> str | None:
    """Open a wake for the same agent and thread, behind its breaker if that is open. None if the thread is not open."""
    who = {"workspace_id": uow.workspace_id, "agent_id": old.agent_id}
    probe_at = uow.run(_PROBE_AT, who).scalar_one_or_none()  # read, not locked: wakes come before agents
    unreachable = probe_at is not None and retry_of is None
    born = core.birth(
        wake_id=ids.new("wake_"),
        workspace_id=old.workspace_id,
        thread_id=old.thread_id,
        agent_id=old.agent_id,
        target_seq=target_seq,
        policy=policy,
        now=now,
        reason=WaitReason.UNREACHABLE if unreachable else WaitReason.FIRST,
    )
    due = max(now, probe_at) if unreachable and probe_at is not None else born.due_at
    return insert_wake(uow, born, due, now, retry_of=retry_of)


def insert_wake(
    uow: UnitOfWork, born: core.Wake, due: datetime, now: datetime, *, retry_of: str | None = None
) -> str | None:
    """Insert a wake, or raise the target of the one that is open. Gives the id of the wake that now stands."""
    params = {
        "wake_id": born.wake_id,
        "workspace_id": born.workspace_id,
        "thread_id": born.thread_id,
        "agent_id": born.agent_id,
        "reason": born.reason.value,
        "target_seq": born.target_seq,
        "due_at": due,
        "dies_at": born.dies_at,
        "policy_version": born.policy_version,
        "retry_of": retry_of,
        "now": now,
    }
    row = uow.run(_NEXT, params).mappings().one_or_none()
    if row is None:
        return None
    if row["born"]:
        uow.run(wake_events.insert(), opened(born, now))
        if due <= now:
            ring(uow, born, row["host"])
    return str(row["wake_id"])


def _notify(uow: UnitOfWork, ids: IdSource, wake: core.Wake, effect: Notify, now: datetime) -> None:
    audiences = [OPERATORS]
    if effect.tell_sender:
        audiences += askers(uow, wake)
    for audience in audiences:
        tell(
            uow, ids, audience, effect.cause, effect.text, now, thread_id=wake.thread_id, wake_id=wake.wake_id
        )


_MOVE = text("""
UPDATE wakes w SET host = a.host FROM agents a
WHERE w.wake_id = ANY (:wake_ids) AND a.workspace_id = w.workspace_id AND a.agent_id = w.agent_id AND w.host <> a.host
    AND w.state IN ('pending', 'waiting')  -- what is in a hand stays where the hand is
RETURNING w.wake_id, w.host
""")


def rouse(uow: UnitOfWork, ids: IdSource, policy: Policy, agent_id: str, *, alive: bool) -> None:
    """Let the agent's open wakes look again: its session became free, or (`alive`) it gave a sign of life.

    They follow the agent to the host where it is now.
    """
    locked = lock_open_of_agent(uow, agent_id)
    moved = uow.run(_MOVE, {"wake_ids": [row.wake.wake_id for row in locked]}).mappings() if locked else ()
    hosts = {row["wake_id"]: row["host"] for row in moved}
    now = uow.now(*(row.updated_at for row in locked))
    for found in locked:
        row = replace(found, host=hosts.get(found.wake.wake_id, found.host))
        if alive or (row.wake.state is S.PENDING and row.wake.reason in FREED):
            record(
                uow, ids, policy, row, core.decide(row.wake, SignOfLife(), policy, now), "sign_of_life", now
            )
    if alive:
        change_agent(uow, agent_id, breaker.alive, now)
