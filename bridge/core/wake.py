"""The wake: the obligation to make one agent read one thread up to a seq. The table below is its whole life.

Only the cursor ends a wake well. What was done is known only as far as its evidence goes: a wake that was being
typed when its hand vanished is *waiting*, evidence unknown, and the next try first looks for our own text.

The key is (state, event type). A pair is handled (with every state it can lead to), ignored on purpose, late (a hand
that no longer holds the wake: refused by its fence), or illegal: it raises, and nothing moves.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple

from bridge.core import wake_rules as rules
from bridge.core.errors import FenceRejected, InvalidTransition
from bridge.core.policy import Policy
from bridge.core.states import WAKE_FINAL, WaitReason, WakeState
from bridge.core.wake_events import (
    EVENTS,
    Accepted,
    CancelAsked,
    CursorMoved,
    Due,
    Event,
    Forced,
    HandedOver,
    Joined,
    Postponed,
    RunOver,
    SessionLost,
    SignOfLife,
    TargetRaised,
    TouchAllowed,
    Wake,
)
from bridge.core.wake_judgement import Decision

__all__ = ["EVENTS", "TRANSITIONS", "Decision", "Event", "Handled", "Verdict", "Wake", "birth", "decide"]

Handler = Callable[[Wake, Any, Policy, datetime], Decision]


class Verdict(Enum):
    """What the table says of a pair that no rule handles."""

    IGNORED = "ignored on purpose"
    LATE = "refused by its fence"
    ILLEGAL = "illegal"


class Handled(NamedTuple):
    """The rule for a pair, and every state it can lead to."""

    rule: Handler
    to: frozenset[WakeState]


S = WakeState
IGNORED, LATE, ILLEGAL = Verdict.IGNORED, Verdict.LATE, Verdict.ILLEGAL
Cell = Handled | Verdict


def _to(rule: Handler, *states: WakeState) -> Handled:
    return Handled(rule, frozenset(states))


_READ = (S.ACKED, S.ALREADY_ACTIVE)
_OVER = (*_READ, S.CANCELLED, S.FAILED)

_PENDING: dict[type[Any], Cell] = {
    Due: _to(rules.claim, S.PENDING, S.DELIVERING, *_OVER),
    TouchAllowed: LATE,
    Postponed: LATE,
    HandedOver: LATE,
    Joined: _to(rules.join, S.WAITING),
    Accepted: IGNORED,
    RunOver: IGNORED,
    CursorMoved: _to(rules.cursor_moved, S.PENDING, *_READ),
    TargetRaised: _to(rules.raise_target, S.PENDING),
    SignOfLife: _to(rules.rouse, S.PENDING),
    SessionLost: IGNORED,
    Forced: _to(rules.force, S.PENDING),
    CancelAsked: _to(rules.cancel, S.CANCELLED),
}
_DELIVERING: dict[type[Any], Cell] = {
    Due: _to(rules.lease_over_untouched, S.DELIVERING, S.PENDING, *_OVER),
    TouchAllowed: _to(rules.touch, S.TOUCHING, S.PENDING, *_OVER),
    Postponed: _to(rules.postpone, S.PENDING),
    HandedOver: LATE,
    Joined: IGNORED,
    Accepted: IGNORED,
    RunOver: IGNORED,
    CursorMoved: _to(rules.cursor_moved, S.DELIVERING, *_READ),
    TargetRaised: _to(rules.raise_target, S.DELIVERING),
    SignOfLife: IGNORED,
    SessionLost: IGNORED,
    Forced: ILLEGAL,
    CancelAsked: _to(rules.cancel, S.CANCELLED),
}
_TOUCHING: dict[type[Any], Cell] = {
    Due: _to(rules.lease_over_touching, S.TOUCHING, S.WAITING, *_OVER),
    TouchAllowed: LATE,
    Postponed: LATE,
    HandedOver: _to(rules.handed_over, S.WAITING, S.PENDING, *_OVER),
    Joined: IGNORED,
    Accepted: IGNORED,
    RunOver: _to(rules.run_over_touching, S.TOUCHING, S.PENDING, *_OVER),
    CursorMoved: IGNORED,
    TargetRaised: _to(rules.raise_target, S.TOUCHING),
    SignOfLife: IGNORED,
    SessionLost: IGNORED,
    Forced: ILLEGAL,
    CancelAsked: _to(rules.note_cancel, S.TOUCHING),
}
_WAITING: dict[type[Any], Cell] = {
    Due: _to(rules.deadline, S.WAITING, S.PENDING, *_OVER),
    TouchAllowed: LATE,
    Postponed: LATE,
    HandedOver: LATE,
    Joined: IGNORED,
    Accepted: _to(rules.accept, S.WAITING),
    RunOver: _to(rules.run_over, S.WAITING, S.PENDING, *_OVER),
    CursorMoved: _to(rules.cursor_moved, S.WAITING, *_READ),
    TargetRaised: _to(rules.raise_target, S.WAITING),
    SignOfLife: _to(rules.extend, S.WAITING),
    SessionLost: _to(rules.lost, S.WAITING, S.PENDING),
    Forced: ILLEGAL,
    CancelAsked: _to(rules.cancel, S.CANCELLED),
}
_FINAL: dict[type[Any], Cell] = {
    Due: IGNORED,
    TouchAllowed: LATE,
    Postponed: LATE,
    HandedOver: LATE,
    Joined: IGNORED,
    Accepted: IGNORED,
    RunOver: IGNORED,
    CursorMoved: IGNORED,
    TargetRaised: ILLEGAL,
    SignOfLife: IGNORED,
    SessionLost: IGNORED,
    Forced: ILLEGAL,
    CancelAsked: ILLEGAL,
}

TRANSITIONS: dict[tuple[WakeState, type[Any]], Cell] = {
    (state, event): cell
    for state, row in (
        (S.PENDING, _PENDING),
        (S.DELIVERING, _DELIVERING),
        (S.TOUCHING, _TOUCHING),
        (S.WAITING, _WAITING),
        *((final, _FINAL) for final in sorted(WAKE_FINAL)),
    )
    for event, cell in row.items()
}


def birth(
    *,
    wake_id: str,
    workspace_id: str,
    thread_id: str,
    agent_id: str,
    target_seq: int,
    policy: Policy,
    now: datetime,
    reason: WaitReason = WaitReason.FIRST,
    delay_s: float = 0.0,
) -> Wake:
    """A new wake. A delay of its own (`not_before`) moves its birth, so its end too; other waits do not."""
    born = now + timedelta(seconds=delay_s)
    dies = born + timedelta(seconds=policy.wake_life_s_max)
    grace_s = policy.listen_grace_s if reason is WaitReason.LISTENING else 0.0
    return Wake(
        wake_id=wake_id,
        workspace_id=workspace_id,
        thread_id=thread_id,
        agent_id=agent_id,
        target_seq=target_seq,
        created_at=now,
        due_at=min(born + timedelta(seconds=grace_s), dies),
        dies_at=dies,
        since=now,
        reason=reason,
        policy_version=policy.version,
    )


def decide(wake: Wake, event: Event, policy: Policy, now: datetime) -> Decision:
    """What follows. Raises InvalidTransition for an illegal pair, FenceRejected for a late hand; nothing moves then."""
    cell = TRANSITIONS[wake.state, type(event)]
    if isinstance(cell, Handled):
        return cell.rule(wake, event, policy, now)
    if cell is IGNORED:
        return Decision(wake)
    if cell is LATE:
        raise FenceRejected(
            f"the wake is {wake.state}: {type(event).__name__} comes too late", wake_id=wake.wake_id
        )
    raise InvalidTransition(_refusal(wake, event), wake_id=wake.wake_id)


def _refusal(wake: Wake, event: Event) -> str:
    over = wake.state in WAKE_FINAL
    match event:
        case CancelAsked():
            return f"the wake is {wake.state}: it has ended, there is nothing to cancel"
        case Forced() if over:
            return f"the wake is {wake.state}: it has ended, there is no wait to skip"
        case Forced():
            return f"the wake is {wake.state}: it waits for nothing that could be skipped; only a pending one does"
        case _:
            return f"a wake that is {wake.state} does not take {type(event).__name__}"
