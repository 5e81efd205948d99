"""What each event does to a wake: one small pure function for a pair, listed in `wake.TRANSITIONS`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bridge.core.effects import (
    BeginAttempt,
    Effect,
    MarkUnreachable,
    MoveTo,
    Probe,
    TakeProbe,
)
from bridge.core.ladder import Facts, Tried, choose
from bridge.core.policy import Policy
from bridge.core.states import Evidence, Rung, WaitReason, WakeState
from bridge.core.wake_events import (
    Accepted,
    CancelAsked,
    CursorMoved,
    Due,
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
from bridge.core.wake_judgement import (
    ROUSED,
    Decision,
    burn,
    check_fence,
    deadline_at,
    defer,
    end,
    ended_by,
    fail,
    held_back,
    human_s,
    leave,
    nobody,
    read_up_to,
    recheck_at,
    rung_of,
    seat_over,
    stopped,
    unburn,
    wait,
    waiting,
    waits_in_vain,
)

# --- pending ------------------------------------------------------------------------------------------


def claim(wake: Wake, event: Due, policy: Policy, now: datetime) -> Decision:
    """Take the first rung that applies now, or say what the wake waits for."""
    if now < wake.due_at:
        return Decision(wake)
    before = ended_by(wake, event.facts, now) or _before_rungs(wake, event.facts, policy, now)
    if before:
        return before
    wake = _in_session(wake, event.facts)
    tried = replace(wake.tried, seat_over=seat_over(wake, policy, now))
    choice = choose(tried, event.facts, policy)
    if choice.wait:
        return _held(wake, choice.wait, recheck_at(wake, choice.wait, policy, now), event.facts, now)
    if choice.rung is Rung.OPERATOR:
        return fail(wake, nobody(wake, event.facts, policy))
    claimed = replace(
        wake,
        state=WakeState.DELIVERING,
        fence=wake.fence + 1,
        worker=event.worker,
        rung=choice.rung,
        due_at=deadline_at(wake, now, policy.lease_s),
    )
    # The wake's first try is the probe; what follows on its ladder belongs to the same one.
    probe_at = event.facts.unreachable_until if not wake.attempts else None
    probes = (TakeProbe(probe_at),) if probe_at is not None else ()
    return Decision(claimed, (Probe(choice.rung, wake.session_id or "", claimed.fence), *probes))


def _before_rungs(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> Decision | None:
    if facts.home is not None:
        return _move(wake, facts.home, now)
    held = held_back(wake, facts, policy, now)
    return _held(wake, held[0], held[1], facts, now) if held else None


def _held(wake: Wake, reason: WaitReason, due: datetime, facts: Facts, now: datetime) -> Decision:
    """Wait; but what waits for its host goes on at another one, if there is one for it."""
    if reason is not WaitReason.HOST or facts.elsewhere is None:
        return wait(wake, reason, due, now)
    return _move(wake, facts.elsewhere, now)


def _move(wake: Wake, host: str, now: datetime) -> Decision:
    moved = wait(wake, WaitReason.FALLBACK, now, now)
    return Decision(moved.state, (*moved.effects, MoveTo(host)))


def _in_session(wake: Wake, facts: Facts) -> Wake:
    """A session that takes the place of another has none of our text, unless it was there before."""
    session = facts.session
    if session is None:
        return wake
    if session.session_id == wake.session_id:
        return wake if session.live or session.process_alive else _untold(wake)
    tried = replace(wake.tried, spent=wake.tried.spent - {Rung.LIVE})
    moved = replace(wake, session_id=session.session_id, tried=tried)
    return replace(moved, handed=session.told, unsure=session.perhaps_told)


def _untold(wake: Wake) -> Wake:
    """Its terminal is gone, and our text with it. Should the same one come back, it knows the key, and is looked at."""
    return replace(wake, handed=False, unsure=wake.unsure or wake.handed)


def join(wake: Wake, event: Joined, policy: Policy, now: datetime) -> Decision:
    """Another wake's line told of this one too: it was handed over with it."""
    told = event.accepted or event.rung is Rung.LIVE
    joined = replace(
        wake,
        offered_seq=max(wake.offered_seq, event.offered_seq if told else 0),
        offering_seq=event.offered_seq,
        attempt_id=event.attempt_id,
        rung=event.rung,
        session_id=event.session_id,
        handed=wake.handed or event.rung is Rung.LIVE,
        tried=_burn_if_left(wake.tried, event.rung, policy),
    )
    return Decision(waiting(joined, policy, now, accepted=event.accepted))


def _burn_if_left(tried: Tried, rung: Rung, policy: Policy) -> Tried:
    """Joining may happen on a rung that this wake has used up: the ladder grows no longer for that."""
    return burn(tried, rung) if tried.count(rung) < policy.limits(rung).tries else tried


def rouse(wake: Wake, event: SignOfLife, policy: Policy, now: datetime) -> Decision:
    """What it waits for may be over: look again now."""
    del event, policy
    return Decision(replace(wake, due_at=min(wake.due_at, now)) if wake.reason in ROUSED else wake)


def force(wake: Wake, event: Forced, policy: Policy, now: datetime) -> Decision:
    """Skip the wait, once; the input box is checked all the same."""
    del policy
    return Decision(replace(wake, forced=True, due_at=min(wake.due_at, now), why=f"forced by {event.by}"))


# --- delivering: claimed, nothing touched ---------------------------------------------------------------


def touch(wake: Wake, event: TouchAllowed, policy: Policy, now: datetime) -> Decision:
    """Nothing in the way: the attempt begins, and is known before the first byte leaves."""
    check_fence(wake, event.fence)
    over = ended_by(wake, event.facts, now)
    if over:
        return over
    stop = stopped(wake, event.facts, policy, now)
    if stop:
        return wait(wake, *stop, now)
    session = event.facts.session
    if session is not None and session.session_id != wake.session_id:
        return wait(replace(wake, why="another session took the seat"), WaitReason.FALLBACK, now, now)
    choice = choose(wake.tried, event.facts, policy)
    if choice.rung is not wake.rung:
        return wait(wake, WaitReason.FALLBACK, now, now)
    if choice.wait:
        return wait(wake, choice.wait, recheck_at(wake, choice.wait, policy, now), now)
    number = wake.attempts + 1
    spawned = event.new_session_id if choice.rung is Rung.SPAWN else None
    touching = replace(
        wake,
        state=WakeState.TOUCHING,
        session_id=spawned or wake.session_id,
        offering_seq=wake.target_seq,
        attempts=number,
        attempt_id=f"{wake.wake_id}.{number}",
        due_at=deadline_at(wake, now, policy.lease_s),
        deferred_s=wake.deferred_s + human_s(wake, now),
        since=now,
        reason=WaitReason.FIRST,
    )
    begin = BeginAttempt(
        attempt_id=f"{wake.wake_id}.{number}",
        rung=choice.rung,
        session_id=touching.session_id or "",
        fence=wake.fence,
        look_first=wake.unsure or wake.handed,
        may_type=not wake.handed,
        force=wake.forced,
    )
    return Decision(touching, (begin,))


def postpone(wake: Wake, event: Postponed, policy: Policy, now: datetime) -> Decision:
    """Something is in the way: back to pending, no try burnt."""
    check_fence(wake, event.fence)
    return defer(wake, event.reason, event.why, policy, now)


def lease_over_untouched(wake: Wake, event: Due, policy: Policy, now: datetime) -> Decision:
    """Its hand vanished before touching: pending again at once, no try burnt."""
    del policy
    if now < wake.due_at:
        return Decision(wake)
    over = ended_by(wake, event.facts, now)
    if over:
        return over
    freed = replace(wake, why="the worker that held it vanished before touching anything")
    return wait(freed, WaitReason.FALLBACK, now, now)


# --- touching: the first byte may have left ---------------------------------------------------------------


def handed_over(wake: Wake, event: HandedOver, policy: Policy, now: datetime) -> Decision:
    """The hand that typed reports; what it could not verify is waited for, never blindly repeated."""
    check_fence(wake, event.fence)
    if event.evidence in (Evidence.NOT_TOUCHED, Evidence.GONE):
        return _not_touched(wake, event, policy, now)
    accepted = event.evidence is Evidence.ACCEPTED
    # What only looked for the text of before, and did not find it, told of nothing that came since. A process that
    # has not shown whose session it is may have read nothing.
    told = event.evidence is not Evidence.ABSENT and (accepted or _typed(wake))
    offered = wake.offering_seq if told else 0
    handed = replace(
        wake,
        offered_seq=max(wake.offered_seq, offered),
        handed=wake.handed or _typed(wake),
        forced=False,
        tried=burn(wake.tried, rung_of(wake)),
        why=None if accepted else event.why or event.evidence.value,
    )
    after = waiting(handed, policy, now, accepted=accepted)
    return ended_by(after, event.facts, now) or Decision(after)


def _typed(wake: Wake) -> bool:
    """Whether its attempt types: what a process is started with stays in no terminal."""
    return rung_of(wake) is Rung.LIVE


def _not_touched(wake: Wake, event: HandedOver, policy: Policy, now: datetime) -> Decision:
    untouched = replace(wake, attempt_id=None)
    over = ended_by(untouched, event.facts, now)
    if over:
        later = over
    elif event.evidence is Evidence.GONE:
        gone = replace(untouched, why=event.why or "the session was not there")
        later = wait(gone, WaitReason.FALLBACK, now + timedelta(seconds=1), now)
    else:
        later = defer(untouched, event.reason, event.why, policy, now)
    return Decision(
        replace(later.state, offering_seq=0), (*later.effects, *leave(wake, event.evidence.value))
    )


def lease_over_touching(wake: Wake, event: Due, policy: Policy, now: datetime) -> Decision:
    """Its hand vanished while typing: evidence unknown. The next try looks for our own text before it types."""
    if now < wake.due_at:
        return Decision(wake)
    lost = replace(
        wake,
        offered_seq=max(wake.offered_seq, wake.offering_seq if _typed(wake) else 0),
        unsure=wake.unsure or _typed(wake),
        forced=False,
        tried=burn(wake.tried, rung_of(wake)),
        fence=wake.fence + 1,
        why="the worker vanished while it was typing" if _typed(wake) else "the worker vanished at the start",
    )
    after = waiting(lost, policy, now, accepted=False)
    return ended_by(after, event.facts, now) or Decision(after)


def run_over_touching(wake: Wake, event: RunOver, policy: Policy, now: datetime) -> Decision:
    """Its process was started and is gone before the hand that started it could say so."""
    if event.attempt_id != wake.attempt_id:
        return Decision(wake)
    begun = replace(wake, forced=False, tried=burn(wake.tried, rung_of(wake)))
    return run_over(waiting(begun, policy, now, accepted=False), event, policy, now)


def note_cancel(wake: Wake, event: CancelAsked, policy: Policy, now: datetime) -> Decision:
    """A hand is typing: the end is noted, and carried out when the hand reports or its lease is over."""
    del policy, now
    return Decision(replace(wake, cancel=event.why))


# --- waiting: handed over ---------------------------------------------------------------------------------


def deadline(wake: Wake, event: Due, policy: Policy, now: datetime) -> Decision:
    """Not accepted, or not read, in time: extend while the agent is busy, else the try has failed."""
    if now < wake.due_at:
        return Decision(wake)
    over = ended_by(wake, event.facts, now)
    if over:
        return over
    limits = policy.limits(rung_of(wake))
    if wake.accepted_at is None:
        why = wake.why or "the runtime did not show that it took the text"
        return _try_failed(
            wake, f"{why} (not accepted within {limits.accept_timeout_s:g} s)", event.facts, policy, now
        )
    longest = wake.accepted_at + timedelta(seconds=policy.read_extension_s_max)
    if event.facts.session is not None and event.facts.session.busy and now < longest:
        return Decision(replace(wake, due_at=min(deadline_at(wake, now, limits.read_timeout_s), longest)))
    why = f"the text was taken, but the message was not read within {limits.read_timeout_s:g} s"
    return _try_failed(wake, why, event.facts, policy, now)


def accept(wake: Wake, event: Accepted, policy: Policy, now: datetime) -> Decision:
    """Late evidence that the runtime took the text: from now on reading is waited for."""
    if event.attempt_id != wake.attempt_id or wake.accepted_at is not None:
        return Decision(wake)
    offered = max(wake.offered_seq, wake.offering_seq)
    return Decision(replace(waiting(wake, policy, now, accepted=True), offered_seq=offered, why=None))


def extend(wake: Wake, event: SignOfLife, policy: Policy, now: datetime) -> Decision:
    """The agent lives and took the text: give it time to read, up to the longest extension."""
    del event
    if wake.accepted_at is None:
        return Decision(wake)
    longest = wake.accepted_at + timedelta(seconds=policy.read_extension_s_max)
    until = min(deadline_at(wake, now, policy.limits(rung_of(wake)).read_timeout_s), longest)
    return Decision(replace(wake, due_at=max(wake.due_at, until)))


def lost(wake: Wake, event: SessionLost, policy: Policy, now: datetime) -> Decision:
    """The session it was offered in is gone: look at once what applies now."""
    del policy
    if event.session_id != wake.session_id:
        return Decision(wake)
    tried = replace(wake.tried, spent=wake.tried.spent - {rung_of(wake)})
    gone = _untold(replace(wake, why=event.why, tried=tried))
    later = wait(gone, WaitReason.FALLBACK, now, now)
    return Decision(later.state, (*leave(wake, "lost"), *later.effects))


def run_over(wake: Wake, event: RunOver, policy: Policy, now: datetime) -> Decision:
    """The process that was to read has ended: look at once what applies now, this rung again too."""
    if event.attempt_id != wake.attempt_id:
        return Decision(wake)
    over = ended_by(wake, event.facts, now)
    if over:
        return over
    tried = unburn(wake.tried, rung_of(wake)) if event.elsewhere else wake.tried
    again = replace(wake, tried=replace(tried, spent=tried.spent - {rung_of(wake)}))
    return _try_failed(again, event.why, event.facts, policy, now)


def _try_failed(wake: Wake, why: str, facts: Facts, policy: Policy, now: datetime) -> Decision:
    session = facts.session and replace(facts.session, in_flight=False, running=False)
    failed = replace(_in_session(wake, facts), why=why)  # what was accepted in another session counts no more
    choice = choose(failed.tried, replace(facts, session=session), policy)
    if choice.rung is Rung.OPERATOR and choice.wait is None:
        return fail(wake, why)
    same = choice.rung is wake.rung and (choice.rung is Rung.SPAWN or failed.session_id == wake.session_id)
    marked: tuple[Effect, ...] = ()
    if same:
        later = wait(failed, WaitReason.BACKOFF, now + policy.backoff(wake.tried.count(choice.rung)), now)
    else:
        alone = choice.rung is Rung.OPERATOR
        later = wait(failed, WaitReason.SEAT if alone else WaitReason.FALLBACK, now, now)
        # Nothing is left to start: whoever comes is waited for, and no other wake starts the same in vain.
        marked = (MarkUnreachable(),) if waits_in_vain(later.state) else ()
    return Decision(later.state, (*marked, *leave(wake, "timeout"), *later.effects))


# --- any open state ---------------------------------------------------------------------------------------


def raise_target(wake: Wake, event: TargetRaised, policy: Policy, now: datetime) -> Decision:
    """More to read: tries, due_at and dies_at stay as they are."""
    del policy, now
    return Decision(replace(wake, target_seq=max(wake.target_seq, event.target_seq)))


def cursor_moved(wake: Wake, event: CursorMoved, policy: Policy, now: datetime) -> Decision:
    """The only ack."""
    del policy, now
    return read_up_to(wake, event.cursor) or Decision(wake)


def cancel(wake: Wake, event: CancelAsked, policy: Policy, now: datetime) -> Decision:
    """Ended on request; nothing is being typed."""
    del policy, now
    return end(replace(wake, why=event.why), WakeState.CANCELLED)
