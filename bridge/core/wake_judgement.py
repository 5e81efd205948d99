"""Judgement that the wake's rules share: how it ends, how it waits, how a human holds it back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from bridge.core.effects import Effect, LeaveAttempt, MarkUnreachable, Notify, OpenNext
from bridge.core.errors import FenceRejected
from bridge.core.hold import hold_words
from bridge.core.ladder import Facts, Tried, rungs
from bridge.core.policy import Policy
from bridge.core.states import Rung, ThreadStatus, WaitReason, WakeState
from bridge.core.wake_events import Wake

IN_ATTEMPT = frozenset({WakeState.TOUCHING, WakeState.WAITING})


class Decision(NamedTuple):
    """What the wake becomes, and what the shell is to do."""

    state: Wake
    effects: tuple[Effect, ...] = ()


def ended_by(wake: Wake, facts: Facts, now: datetime) -> Decision | None:
    """Cursor first; then an end that was asked for, or that the thread brings; then the end of its life."""
    if not facts.takes_part:
        return end(replace(wake, why=wake.cancel or "it takes no part in the thread"), WakeState.CANCELLED)
    read = read_up_to(wake, facts.cursor)
    if read:
        return read
    if wake.cancel is not None:
        return _cancelled(wake, wake.cancel)
    if facts.thread_status in (ThreadStatus.BLOCKED, ThreadStatus.CLOSED) and not facts.agent_is_operator:
        return end(replace(wake, why=f"the thread is {facts.thread_status}"), WakeState.CANCELLED)
    if now >= wake.dies_at:
        why = f"its life is over; it last waited for: {_waited_for(wake, facts)}"
        return fail(wake, why, tried=not _held_up(wake))
    return None


HELD_UP = frozenset(
    {
        WaitReason.UNREACHABLE,
        WaitReason.HOST,
        WaitReason.PAUSED,
        WaitReason.RATE,
        WaitReason.SLOT,
        WaitReason.HELD,
    }
)
"""What says nothing about the agent, however long a wake waits for it."""


def _held_up(wake: Wake) -> bool:
    return wake.state is WakeState.PENDING and wake.reason in HELD_UP and not wake.attempts


def _waited_for(wake: Wake, facts: Facts) -> str:
    hold = facts.session.hold if facts.session is not None else None
    if wake.reason is WaitReason.HELD and hold is not None:
        return f"{wake.reason} ({hold_words(hold)})"
    return f"{wake.reason} ({wake.why})" if wake.why else wake.reason.value


def _cancelled(wake: Wake, why: str) -> Decision:
    """Ended as was asked while it was being typed; what came after the line was begun was not meant."""
    ended = end(replace(wake, why=why), WakeState.CANCELLED)
    left = (OpenNext(wake.target_seq),) if wake.target_seq > max(wake.offering_seq, wake.offered_seq) else ()
    return Decision(ended.state, (*left, *ended.effects))


def read_up_to(wake: Wake, cursor: int) -> Decision | None:
    """How it ends when the agent has read up to `cursor`; None when that ends nothing."""
    # Who reads what its attempt offers was told of it, though its process never showed whose session it is.
    offering = wake.offering_seq if wake.state is WakeState.WAITING else 0
    offered = wake.offered_seq or offering
    if offered and cursor >= offered:
        ended = end(replace(wake, offered_seq=offered), WakeState.ACKED)
    elif cursor >= wake.target_seq:
        ended = end(wake, WakeState.ALREADY_ACTIVE)
    else:
        return None
    left = (OpenNext(wake.target_seq),) if wake.target_seq > cursor else ()
    return Decision(ended.state, (*left, *ended.effects))


def end(wake: Wake, state: WakeState) -> Decision:
    """Ended in `state`, out of its attempt."""
    return Decision(replace(wake, state=state, worker=None), leave(wake, state.value))


def leave(wake: Wake, result: str) -> tuple[Effect, ...]:
    """The effect of leaving the attempt, if it is in one."""
    return (LeaveAttempt(wake.attempt_id, result),) if wake.state in IN_ATTEMPT and wake.attempt_id else ()


def waits_in_vain(wake: Wake) -> bool:
    """Whether what it started came to nothing, and it waits for somebody to come: its breaker is open since then."""
    started = wake.tried.resume + wake.tried.spawn > 0
    return started and wake.state is WakeState.PENDING and wake.reason is WaitReason.SEAT


def fail(wake: Wake, why: str, *, tried: bool = True) -> Decision:
    """Ended badly: operators and sender are told, the agent's breaker opens, what was never offered is kept.

    A wake that only waited behind the breaker, or for its host, proves nothing (`tried` False): if it kept the breaker
    open, one as long as a wake's life would never let a probe through.
    """
    ended = end(replace(wake, why=why), WakeState.FAILED)
    text = f"{wake.agent_id} could not be woken ({tries_in_words(wake.tried)}): {why}"
    left = (OpenNext(wake.target_seq),) if wake.target_seq > wake.offered_seq else ()
    note = Notify(f"wake_failed:{wake.agent_id}", text)
    marked = (MarkUnreachable(),) if tried and not waits_in_vain(wake) else ()
    return Decision(ended.state, (*marked, *left, *ended.effects, note))


def tries_in_words(tried: Tried) -> str:
    """What was tried, rung by rung: `tried: live 3, resume 2`."""
    counts = [(rung, tried.count(rung)) for rung in (Rung.LIVE, Rung.RESUME, Rung.SPAWN)]
    made = ", ".join(f"{rung} {count}" for rung, count in counts if count)
    return f"tried: {made}" if made else "nothing could be tried"


def nobody(wake: Wake, facts: Facts, policy: Policy) -> str:
    """Why no rung applied, in words: what the last try came to, if there was one, and why there is no other."""
    if wake.deferred_s:
        return f"a human was typing in its session for {wake.deferred_s:.0f} s"
    last = f"{wake.why}; " if wake.attempts and wake.why else ""
    return last + "; ".join(_not_applicable(wake.tried, facts, policy))


def _not_applicable(tried: Tried, facts: Facts, policy: Policy) -> tuple[str, ...]:
    session = facts.session
    if session is None and not facts.can_start:
        return ("it has no session, and nothing is configured to start one",)
    if session is not None and session.process_alive and not session.live:
        return ("its process lives, but the bridge cannot reach it, and starts none beside it",)
    if session is not None and not session.live and not facts.can_start:
        return ("its session is offline, and nothing is configured to start another",)
    return tuple(f"{rung.rung}: {rung.why_not}" for rung in rungs(tried, facts, policy) if rung.why_not)


def wait(wake: Wake, reason: WaitReason, due: datetime, now: datetime) -> Decision:
    """Pending until `due`, for a reason that is shown."""
    since = wake.since if wake.reason is reason else now
    due = min(max(due, now), wake.dies_at)
    pending = replace(wake, state=WakeState.PENDING, reason=reason, due_at=due, since=since, worker=None)
    return Decision(replace(pending, offering_seq=0, attempt_id=None, accepted_at=None))


RECHECKS_MAX = 12
RUNG_WHEN_OVER = frozenset({WaitReason.SLOT, WaitReason.HELD})
"""Whose end rings those who wait for it: looking is the safety net, and thins out."""
ROUSED = frozenset(
    {
        WaitReason.SLOT,
        WaitReason.BUSY,
        WaitReason.SEAT,
        WaitReason.HOST,
        WaitReason.UNREACHABLE,
        WaitReason.HELD,
    }
)
"""What may be over when there is a sign of life."""


def recheck_at(wake: Wake, reason: WaitReason, policy: Policy, now: datetime) -> datetime:
    """When to look again."""
    waited_s = (now - wake.since).total_seconds() if wake.reason is reason else 0.0
    longest_s = RECHECKS_MAX * policy.recheck_s
    more_s = min(waited_s / 2, longest_s) if reason in RUNG_WHEN_OVER else 0.0
    return now + timedelta(seconds=policy.recheck_s + more_s)


def defer(wake: Wake, reason: WaitReason, why: str, policy: Policy, now: datetime) -> Decision:
    """Back to pending, no try burnt. Humans may hold a wake only so long in all; then the live rung is over for it."""
    held = replace(wake, deferred_s=wake.deferred_s + human_s(wake, now), why=why or wake.why)
    recheck_s = policy.defer_recheck_s
    if reason is not WaitReason.HUMAN:
        return wait(held, reason, now + timedelta(seconds=recheck_s), now)
    left_s = policy.defer_s_max - held.deferred_s
    if left_s <= 0:
        held = replace(held, tried=replace(held.tried, occupied=True))
    wait_s = min(recheck_s, max(1.0, left_s)) if left_s > 0 else 0.0
    later = wait(held, reason, now + timedelta(seconds=wait_s), now)
    return Decision(replace(later.state, since=now))  # what was counted so far is in deferred_s


def human_s(wake: Wake, now: datetime) -> float:
    """Seconds that the present deferral has taken so far."""
    return (now - wake.since).total_seconds() if wake.reason is WaitReason.HUMAN else 0.0


def waiting(wake: Wake, policy: Policy, now: datetime, *, accepted: bool) -> Wake:
    """Handed over: wait until accepted, or, once accepted, until read."""
    limits = policy.limits(rung_of(wake))
    timeout_s = limits.read_timeout_s if accepted else limits.accept_timeout_s
    waiting = replace(
        wake, state=WakeState.WAITING, since=now, worker=None, due_at=deadline_at(wake, now, timeout_s)
    )
    if not accepted:
        return waiting
    return replace(
        waiting, accepted_at=now, tried=replace(wake.tried, spent=wake.tried.spent | {rung_of(wake)})
    )


def burn(tried: Tried, rung: Rung) -> Tried:
    """One try more on the rung."""
    if rung is Rung.LIVE:
        return replace(tried, live=tried.live + 1)
    if rung is Rung.RESUME:
        return replace(tried, resume=tried.resume + 1)
    return replace(tried, spawn=tried.spawn + 1)


def unburn(tried: Tried, rung: Rung) -> Tried:
    """The last resume was no try: the session was open elsewhere, and nothing was told of."""
    return replace(tried, resume=max(0, tried.resume - 1)) if rung is Rung.RESUME else tried


def deadline_at(wake: Wake, now: datetime, seconds: float) -> datetime:
    """A deadline, never past its death."""
    return min(now + timedelta(seconds=seconds), wake.dies_at)


def rung_of(wake: Wake) -> Rung:
    """The rung of its last attempt."""
    return wake.rung or Rung.LIVE


def check_fence(wake: Wake, fence: int) -> None:
    """Refuse a hand that no longer holds the wake."""
    if fence != wake.fence:
        raise FenceRejected(f"fence {fence} is not {wake.fence}", wake_id=wake.wake_id)


def stopped(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> tuple[WaitReason, datetime] | None:
    """What somebody has stopped: a pause stops all; a hold of its session all that is not forced. And until when."""
    if facts.paused is not None:
        return WaitReason.PAUSED, now + timedelta(seconds=policy.recheck_s)
    hold = facts.session.hold if facts.session is not None else None
    if hold is None or hold.until <= now or wake.forced:
        return None
    return WaitReason.HELD, min(hold.until, recheck_at(wake, WaitReason.HELD, policy, now))


def held_back(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> tuple[WaitReason, datetime] | None:
    """What a wake waits for before its rungs are looked at, and until when."""
    recheck = now + timedelta(seconds=policy.recheck_s)
    over = stopped(wake, facts, policy, now)
    if over:
        return over
    if not facts.host_seen:
        return WaitReason.HOST, recheck
    if wake.forced:
        return None
    if facts.unreachable_until is not None and now < facts.unreachable_until and not wake.attempts:
        return WaitReason.UNREACHABLE, facts.unreachable_until
    if facts.wakes_last_minute >= policy.wakes_per_minute_max:
        return WaitReason.RATE, recheck
    return None


def seat_over(wake: Wake, policy: Policy, now: datetime) -> bool:
    """Whether the longest wait for somebody to take the seat is over."""
    waited_s = (now - wake.since).total_seconds() if wake.reason is WaitReason.SEAT else 0.0
    return waited_s >= policy.seat_wait_s
