"""What each rule of the wake does once a line was begun, by example."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.core.effects import (
    BeginAttempt,
    LeaveAttempt,
    MarkUnreachable,
    Notify,
    OpenNext,
)
from bridge.core.errors import FenceRejected
from bridge.core.ladder import Facts
from bridge.core.states import Evidence, Rung, WaitReason, WakeState
from bridge.core.wake import decide
from bridge.core.wake_events import (
    Accepted,
    CancelAsked,
    CursorMoved,
    Due,
    HandedOver,
    Joined,
    SessionLost,
    SignOfLife,
    TargetRaised,
    TouchAllowed,
    Wake,
)
from tests.core.wakes import (
    BOTH,
    FACTS,
    NOW,
    POLICY,
    at,
    born,
    claimed,
    session,
    tired,
    touching,
    waiting,
)

S = WakeState


def due(wake: Wake, facts: Facts = FACTS, now: float = 0) -> Wake:
    return decide(wake, Due(facts, "w"), POLICY, at(now)).state


# --- handing over -------------------------------------------------------------------------------------------


def test_what_was_accepted_is_waited_for_until_read() -> None:
    wake = waiting()
    assert (wake.offered_seq, wake.accepted_at, wake.due_at) == (3, NOW, at(POLICY.live.read_timeout_s))
    assert wake.tried.spent == {Rung.LIVE}


@pytest.mark.parametrize("evidence", [Evidence.UNVERIFIED, Evidence.STRANDED, Evidence.ABSENT])
def test_what_was_not_verified_is_waited_for_and_never_typed_again(evidence: Evidence) -> None:
    wake = waiting(evidence)
    assert (wake.accepted_at, wake.due_at, wake.tried.live) == (None, at(POLICY.live.accept_timeout_s), 1)
    wake = due(wake, now=8)
    assert (wake.state, wake.reason, wake.due_at) == (S.PENDING, WaitReason.BACKOFF, at(10))
    claim = claimed(wake=wake, now=at(10))
    begin = decide(claim, TouchAllowed(claim.fence, FACTS), POLICY, at(10)).effects[0]
    assert isinstance(begin, BeginAttempt)
    assert (begin.look_first, begin.may_type) == (True, False)


def test_backoff_doubles_and_the_last_try_ends_the_ladder() -> None:
    wake, seen = born(), []
    now = 0.0
    while wake.state is not S.FAILED:
        wake = touching(wake=wake, now=at(now))
        wake = decide(wake, HandedOver(wake.fence, Evidence.STRANDED, FACTS), POLICY, at(now)).state
        wake = due(wake, now=(wake.due_at - NOW).total_seconds())
        seen.append((wake.due_at - NOW).total_seconds() - now - POLICY.live.accept_timeout_s)
        now = (wake.due_at - NOW).total_seconds()
    assert seen[:2] == [2, 4]
    assert (wake.tried.live, wake.attempts) == (3, 3)


def test_what_nothing_touched_goes_back_and_leaves_its_attempt() -> None:
    wake = touching()
    decision = decide(wake, HandedOver(wake.fence, Evidence.NOT_TOUCHED, FACTS, WaitReason.BUSY), POLICY, NOW)
    assert (decision.state.state, decision.state.offered_seq, decision.state.tried.live) == (S.PENDING, 0, 0)
    assert decision.effects == (LeaveAttempt("w1.1", "not_touched"),)


def test_a_session_that_is_gone_is_looked_for_again_in_a_second() -> None:
    wake = touching()
    after = decide(wake, HandedOver(wake.fence, Evidence.GONE, FACTS), POLICY, NOW).state
    assert (after.state, after.due_at, after.tried.live) == (S.PENDING, at(1), 0)


def test_read_while_it_was_typed_is_an_ack_when_the_hand_reports() -> None:
    wake = touching()
    assert decide(wake, CursorMoved(3), POLICY, NOW).state == wake
    decision = decide(
        wake, HandedOver(wake.fence, Evidence.ACCEPTED, replace(FACTS, cursor=3)), POLICY, at(1)
    )
    assert decision.state.state is S.ACKED
    assert decision.effects == (LeaveAttempt("w1.1", "acked"),)


def test_an_outcome_with_an_old_fence_is_refused() -> None:
    wake = touching()
    with pytest.raises(FenceRejected):
        decide(wake, HandedOver(wake.fence - 1, Evidence.ACCEPTED, FACTS), POLICY, NOW)


def test_a_lease_that_ended_while_typing_leaves_evidence_unknown_and_the_next_try_looks_first() -> None:
    wake = due(touching(), now=POLICY.lease_s)
    assert (wake.state, wake.tried.live, wake.unsure, wake.accepted_at) == (S.WAITING, 1, True, None)
    with pytest.raises(FenceRejected):
        decide(wake, HandedOver(1, Evidence.ACCEPTED, FACTS), POLICY, at(POLICY.lease_s))
    again = (wake.due_at - NOW).total_seconds()
    wake = due(wake, now=again)
    claim = claimed(wake=wake, now=wake.due_at)
    begin = decide(claim, TouchAllowed(claim.fence, FACTS), POLICY, wake.due_at).effects[0]
    assert isinstance(begin, BeginAttempt)
    assert (begin.look_first, begin.may_type) == (True, True)


def test_an_end_asked_for_while_typing_comes_when_the_hand_reports() -> None:
    wake = decide(touching(), CancelAsked("closed"), POLICY, NOW).state
    assert wake.state is S.TOUCHING
    after = decide(wake, HandedOver(wake.fence, Evidence.ACCEPTED, FACTS), POLICY, at(1)).state
    assert (after.state, after.why) == (S.CANCELLED, "closed")


def test_an_end_asked_for_while_typing_does_not_swallow_what_came_after_the_line_was_begun() -> None:
    wake = decide(touching(), CancelAsked("blocked"), POLICY, NOW).state
    raised = decide(wake, TargetRaised(7), POLICY, NOW).state
    for evidence in (Evidence.ACCEPTED, Evidence.NOT_TOUCHED, Evidence.GONE):
        handed = HandedOver(wake.fence, evidence, FACTS)
        assert OpenNext(7) in decide(raised, handed, POLICY, at(1)).effects
        assert not any(isinstance(effect, OpenNext) for effect in decide(wake, handed, POLICY, at(1)).effects)


def test_effects_come_in_the_order_of_the_locks_agent_and_wake_before_attempt_and_notice() -> None:
    wake = decide(waiting(), TargetRaised(7), POLICY, NOW).state
    effects = decide(wake, Due(FACTS, "w"), POLICY, wake.dies_at).effects
    assert [type(effect) for effect in effects] == [MarkUnreachable, OpenNext, LeaveAttempt, Notify]


# --- waiting --------------------------------------------------------------------------------------------------


def test_the_cursor_is_the_only_ack() -> None:
    wake = waiting()
    for event in (SignOfLife(), Accepted("w1.1"), CursorMoved(2)):
        assert decide(wake, event, POLICY, at(1)).state.state is S.WAITING
    assert decide(wake, CursorMoved(3), POLICY, at(1)).state.state is S.ACKED


def test_what_came_later_is_left_to_the_next_wake() -> None:
    wake = decide(waiting(), TargetRaised(7), POLICY, at(1)).state
    decision = decide(wake, CursorMoved(3), POLICY, at(2))
    assert decision.state.state is S.ACKED
    assert decision.effects == (OpenNext(7), LeaveAttempt("w1.1", "acked"))
    assert OpenNext(7) not in decide(wake, CursorMoved(7), POLICY, at(2)).effects


def test_late_evidence_of_acceptance_starts_the_read_deadline() -> None:
    wake = waiting(Evidence.UNVERIFIED)
    after = decide(wake, Accepted(wake.attempt_id or ""), POLICY, at(3)).state
    assert (after.accepted_at, after.due_at) == (at(3), at(3 + POLICY.live.read_timeout_s))
    assert decide(wake, Accepted("w1.0"), POLICY, at(3)).state == wake


def test_a_busy_agent_is_given_time_to_read_up_to_a_limit() -> None:
    wake, now = waiting(), POLICY.live.read_timeout_s
    while wake.state is S.WAITING:
        wake, last = due(wake, session(busy=True), now), now
        now = (wake.due_at - NOW).total_seconds()
    assert last == POLICY.read_extension_s_max


def test_signs_of_life_extend_what_was_accepted_only() -> None:
    accepted, unverified = waiting(), waiting(Evidence.UNVERIFIED)
    assert decide(accepted, SignOfLife(), POLICY, at(60)).state.due_at == at(60 + POLICY.live.read_timeout_s)
    assert decide(unverified, SignOfLife(), POLICY, at(5)).state == unverified
    assert decide(accepted, SignOfLife(), POLICY, at(2000)).state.due_at <= at(POLICY.read_extension_s_max)


def test_an_accepted_try_is_never_repeated_on_its_rung() -> None:
    decision = decide(waiting(), Due(FACTS, "w"), POLICY, at(POLICY.live.read_timeout_s))
    assert (decision.state.state, decision.state.attempts) == (S.FAILED, 1)
    assert "not read within 120 s" in (decision.state.why or "")


def test_a_session_that_took_the_place_of_the_one_that_accepted_is_tried() -> None:
    facts = session(session_id="s2")
    after = decide(waiting(), Due(facts, "w"), POLICY, at(POLICY.live.read_timeout_s))
    assert (after.state.state, after.state.due_at) == (S.PENDING, at(POLICY.live.read_timeout_s))
    assert LeaveAttempt("w1.1", "timeout") in after.effects


def test_a_lost_session_is_acted_on_at_once() -> None:
    decision = decide(waiting(), SessionLost("s1"), POLICY, at(5))
    assert (decision.state.state, decision.state.due_at) == (S.PENDING, at(5))
    assert decision.effects == (LeaveAttempt("w1.1", "lost"),)
    assert decide(waiting(), SessionLost("s0"), POLICY, at(5)).state.state is S.WAITING


def test_a_failed_try_goes_on_to_the_next_rung_that_applies_now() -> None:
    facts = replace(FACTS, can_start=BOTH, session=replace(FACTS.session, live=False, process_alive=False))  # type: ignore[type-var]
    wake = decide(waiting(), Due(facts, "w"), POLICY, at(POLICY.live.read_timeout_s)).state
    assert wake.reason is WaitReason.FALLBACK
    assert claimed(facts, wake, wake.due_at).rung is Rung.SPAWN


# --- joining --------------------------------------------------------------------------------------------------


def test_a_wake_that_a_line_told_of_too_is_waited_for_with_it() -> None:
    joined = Joined("w2.1", 3, accepted=True, rung=Rung.LIVE, session_id="s1")
    wake = decide(born(), joined, POLICY, NOW).state
    assert (wake.state, wake.offered_seq, wake.attempt_id, wake.tried.live) == (S.WAITING, 3, "w2.1", 1)
    assert decide(wake, CursorMoved(3), POLICY, at(1)).effects == (LeaveAttempt("w2.1", "acked"),)


def test_joining_never_takes_more_tries_than_the_ladder_has() -> None:
    joined = Joined("w2.1", 3, accepted=False, rung=Rung.LIVE, session_id="s1")
    assert decide(tired(), joined, POLICY, NOW).state.tried.live == POLICY.live.tries


# --- the target ------------------------------------------------------------------------------------------------


def test_raising_the_target_changes_nothing_else() -> None:
    for wake in (born(), claimed(), touching(), waiting()):
        assert decide(wake, TargetRaised(9), POLICY, at(1)).state == replace(wake, target_seq=9)
        assert decide(wake, TargetRaised(2), POLICY, at(1)).state == wake


# --- the end ----------------------------------------------------------------------------------------------------


def test_who_could_not_be_woken_is_told_of_and_marked() -> None:
    decision = decide(born(), Due(FACTS, "w"), POLICY, born().dies_at)
    assert decision.state.state is S.FAILED
    notes = [effect for effect in decision.effects if isinstance(effect, Notify)]
    assert [(note.cause, note.tell_sender) for note in notes] == [("wake_failed:reviewer", True)]
    assert MarkUnreachable() in decision.effects
    assert OpenNext(3) in decision.effects


def test_what_was_offered_and_failed_is_not_offered_again() -> None:
    wake = waiting()
    effects = decide(wake, Due(FACTS, "w"), POLICY, wake.dies_at).effects
    assert not any(isinstance(effect, OpenNext) for effect in effects)


def test_a_wake_that_died_behind_the_breaker_proves_nothing_about_the_agent() -> None:
    wake = due(born(), replace(FACTS, unreachable_until=born().dies_at))
    assert (wake.reason, wake.due_at) == (WaitReason.UNREACHABLE, wake.dies_at)
    decision = decide(wake, Due(replace(FACTS, unreachable_until=wake.dies_at), "w"), POLICY, wake.dies_at)
    assert decision.state.state is S.FAILED
    assert MarkUnreachable() not in decision.effects
    assert any(isinstance(effect, Notify) for effect in decision.effects)


def test_a_sign_of_life_rouses_what_waits_for_the_agent_and_nothing_else() -> None:
    for reason in WaitReason:
        wake = replace(born(), reason=reason, due_at=at(50))
        roused = decide(wake, SignOfLife(), POLICY, at(1)).state.due_at == at(1)
        assert roused == (
            reason
            in {
                WaitReason.SLOT,
                WaitReason.BUSY,
                WaitReason.SEAT,
                WaitReason.HOST,
                WaitReason.UNREACHABLE,
                WaitReason.HELD,
            }
        )


def test_nothing_moves_death() -> None:
    wake = waiting()
    assert decide(wake, SignOfLife(), POLICY, at(60)).state.dies_at == wake.dies_at
    assert wake.dies_at - wake.created_at == timedelta(seconds=POLICY.wake_life_s_max)
