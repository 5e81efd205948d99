"""The hand that typed says how far it came; every wake that the line told of moves with it."""

from __future__ import annotations

from datetime import datetime

from bridge.core.errors import FenceRejected
from bridge.core.policy import Policy
from bridge.core.states import Evidence, Rung, WaitReason, WakeState
from bridge.core.wake import decide
from bridge.core.wake_events import HandedOver, Joined, Wake
from bridge.db.attempt_store import hand_over, note_outcome, was_accepted
from bridge.db.deps import Deps
from bridge.db.run_store import run_of_attempt
from bridge.db.uow import UnitOfWork
from bridge.db.wake_record import record
from bridge.db.wake_store import Locked, facts, lock_attempt

HANDED = frozenset({Evidence.ACCEPTED, Evidence.UNVERIFIED, Evidence.STRANDED, Evidence.ABSENT})


def settle_wake(
    deps: Deps,
    workspace_id: str,
    wake_id: str,
    *,
    fence: int,
    attempt_id: str,
    evidence: Evidence,
    reason: WaitReason = WaitReason.HUMAN,
    why: str = "",
    by: str = "",
    worker: str = "bridge",
) -> Wake:
    """Record the outcome, and what showed it (`by`).

    Raises FenceRejected when this hand no longer holds the wake: nothing is recorded then.
    """
    policy = deps.policies.current(workspace_id)
    with deps.unit(workspace_id, actor=worker) as uow:
        rows = {row.wake.wake_id: row for row in lock_attempt(uow, attempt_id)}
        lead = rows.pop(wake_id, None)
        if lead is None:
            raise FenceRejected(f"{attempt_id} is no attempt of this wake", wake_id=wake_id)
        now = uow.now(lead.updated_at, *(row.updated_at for row in rows.values()))
        evidence = _proved(uow, attempt_id, evidence)
        event = HandedOver(fence, evidence, facts(uow, lead.wake, lead.host, policy, now), reason, why, by)
        decision = decide(lead.wake, event, policy, now)
        if evidence in HANDED:
            accepted_at = now if evidence is Evidence.ACCEPTED else None
            note_outcome(uow, attempt_id, accepted_at, why or None)
            hand_over(uow, attempt_id, wake_id, now)
            if evidence is not Evidence.ABSENT:  # nothing was typed, so no line told of the others
                _join(uow, deps, policy, attempt_id, lead.wake, list(rows.values()), evidence, now)
        record(uow, deps.ids, policy, lead, decision, "handed_over", now, by=event.by)
    return decision.state


def _proved(uow: UnitOfWork, attempt_id: str, evidence: Evidence) -> Evidence:
    """A run may prove whose it is, and a line may be seen taken, before the hand that did it reports."""
    if evidence is not Evidence.UNVERIFIED:
        return evidence
    if was_accepted(uow, attempt_id):
        return Evidence.ACCEPTED
    run = run_of_attempt(uow, attempt_id)
    return Evidence.ACCEPTED if run is not None and run.proved_at is not None else evidence


def _join(
    uow: UnitOfWork,
    deps: Deps,
    policy: Policy,
    attempt_id: str,
    lead: Wake,
    others: list[Locked],
    evidence: Evidence,
    now: datetime,
) -> None:
    """The other wakes that the line told of, if they still wait."""
    for row in others:
        if row.wake.state is not WakeState.PENDING:
            continue
        offered = hand_over(uow, attempt_id, row.wake.wake_id, now)
        joined = Joined(
            attempt_id=attempt_id,
            offered_seq=offered,
            accepted=evidence is Evidence.ACCEPTED,
            rung=lead.rung or Rung.LIVE,
            session_id=lead.session_id or "",
        )
        record(uow, deps.ids, policy, row, decide(row.wake, joined, policy, now), "joined", now)
