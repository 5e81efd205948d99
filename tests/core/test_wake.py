"""What each rule of the wake does, by example."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.core.effects import (
    BeginAttempt,
    LeaveAttempt,
    MarkUnreachable,
    Notify,
    OpenNext,
    Probe,
    TakeProbe,
)
from bridge.core.errors import FenceRejected
from bridge.core.ladder import Facts
from bridge.core.states import Evidence, Rung, ThreadStatus, WaitReason, WakeState
from bridge.core.wake import birth, decide
from bridge.core.wake_events import (
    Accepted,
    CancelAsked,
    CursorMoved,
    Due,
    Forced,
    HandedOver,
    Joined,
    Postponed,
    SessionLost,
    SignOfLife,
    TargetRaised,
    TouchAllowed,
    Wake,
)
from tests.core.wakes import (
    FACTS,
    NOBODY,
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


# --- birth ------------------------------------------------------------------------------------------------


def test_a_wake_is_due_at_birth_and_dies_after_its_life() -> None:
    wake = born()
    assert (wake.due_at, wake.dies_at) == (NOW, at(POLICY.wake_life_s_max))


def test_a_delay_moves_birth_and_death() -> None:
    wake = birth(
        wake_id="w",
        workspace_id="ws",
        thread_id="t",
        agent_id="a",
        target_seq=1,
        policy=POLICY,
        now=NOW,
        delay_s=60,
    )
    assert (wake.due_at, wake.dies_at) == (at(60), at(60 + POLICY.wake_life_s_max))


def test_a_listener_is_given_a_grace_that_does_not_move_death_and_never_passes_it() -> None:
    for life_s, due_s in ((POLICY.wake_life_s_max, POLICY.listen_grace_s), (1.0, 1.0)):
        wake = birth(
            wake_id="w",
            workspace_id="ws",
            thread_id="t",
            agent_id="a",
            target_seq=1,
            policy=replace(POLICY, wake_life_s_max=life_s),
            now=NOW,
            reason=WaitReason.LISTENING,
        )
        assert (wake.due_at, wake.dies_at) == (at(due_s), at(life_s))


# --- claiming ---------------------------------------------------------------------------------------------


def test_a_claim_takes_a_lease_and_raises_the_fence() -> None:
    decision = decide(born(), Due(FACTS, "worker-1"), POLICY, NOW)
    wake = decision.state
    assert (wake.state, wake.fence, wake.worker, wake.rung) == (S.DELIVERING, 1, "worker-1", Rung.LIVE)
    assert wake.due_at == at(POLICY.lease_s)
    assert decision.effects == (Probe(Rung.LIVE, "s1", 1),)


def test_a_ring_that_comes_early_changes_nothing() -> None:
    wake = replace(born(), due_at=at(1))
    assert due(wake, now=0.999) == wake
    assert due(wake, now=1).state is S.DELIVERING


def test_what_was_read_before_anything_was_offered_is_already_active() -> None:
    decision = decide(born(), Due(replace(FACTS, cursor=3), "w"), POLICY, NOW)
    assert (decision.state.state, decision.effects) == (S.ALREADY_ACTIVE, ())


@pytest.mark.parametrize("status", [ThreadStatus.BLOCKED, ThreadStatus.CLOSED])
def test_a_thread_that_is_blocked_or_closed_cancels_all_wakes_but_an_operators(status: ThreadStatus) -> None:
    facts = replace(FACTS, thread_status=status)
    assert due(born(), facts).state is S.CANCELLED
    assert due(born(), replace(facts, agent_is_operator=True)).state is S.DELIVERING


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (replace(FACTS, paused="lunch"), WaitReason.PAUSED),
        (replace(FACTS, host_seen=False), WaitReason.HOST),
        (replace(FACTS, unreachable_until=at(30)), WaitReason.UNREACHABLE),
        (replace(FACTS, wakes_last_minute=POLICY.wakes_per_minute_max), WaitReason.RATE),
        (session(in_flight=True), WaitReason.SLOT),
        (NOBODY, WaitReason.SEAT),
    ],
)
def test_what_holds_a_wake_back_is_said_and_burns_no_try(facts: Facts, reason: WaitReason) -> None:
    wake = due(born(), facts)
    assert (wake.state, wake.reason, wake.fence, wake.attempts, wake.tried) == (
        S.PENDING,
        reason,
        0,
        0,
        born().tried,
    )
    assert wake.due_at > NOW


def test_nobody_in_the_seat_is_waited_for_then_the_wake_fails_and_says_so() -> None:
    wake = born()
    for second in range(0, int(POLICY.seat_wait_s), 5):
        wake = due(wake, NOBODY, second)
        assert wake.reason is WaitReason.SEAT
    decision = decide(wake, Due(NOBODY, "w"), POLICY, at(POLICY.seat_wait_s))
    assert decision.state.state is S.FAILED
    assert "no session" in (decision.state.why or "")


def test_the_probe_of_an_unreachable_agent_is_taken_with_the_claim() -> None:
    facts = replace(FACTS, unreachable_until=at(-1))
    assert TakeProbe() in decide(born(), Due(facts, "w"), POLICY, NOW).effects
    assert TakeProbe() not in decide(born(), Due(FACTS, "w"), POLICY, NOW).effects


def test_a_new_session_has_none_of_our_text_and_may_be_typed_into() -> None:
    wake = decide(waiting(), SessionLost("s1"), POLICY, NOW).state
    again = touching(session(session_id="s2"), wake)
    begin = decide(
        claimed(session(session_id="s2"), wake), TouchAllowed(2, session(session_id="s2")), POLICY, NOW
    )
    assert again.session_id == "s2"
    assert isinstance(begin.effects[0], BeginAttempt)
    assert (begin.effects[0].may_type, begin.effects[0].look_first) == (True, False)


@pytest.mark.parametrize(("told", "may_type"), [(True, False), (False, True)])
def test_a_session_that_comes_back_to_the_seat_is_not_typed_into_again(told: bool, may_type: bool) -> None:
    gone = decide(waiting(), SessionLost("s1"), POLICY, NOW).state
    elsewhere = waiting(facts=session(session_id="s2"), wake=gone)
    lost = decide(elsewhere, SessionLost("s2"), POLICY, NOW).state
    back = session(session_id="s1", told=told, perhaps_told=True)
    claim = claimed(back, lost)
    begin = decide(claim, TouchAllowed(claim.fence, back), POLICY, NOW).effects[0]
    assert isinstance(begin, BeginAttempt)
    assert (begin.look_first, begin.may_type) == (True, may_type)


# --- between claim and touching -----------------------------------------------------------------------------


def test_touching_records_what_is_offered_and_gives_the_first_line_free_to_type() -> None:
    wake = claimed()
    decision = decide(wake, TouchAllowed(wake.fence, FACTS), POLICY, at(1))
    assert (decision.state.state, decision.state.offering_seq, decision.state.attempts) == (S.TOUCHING, 3, 1)
    assert decision.effects == (
        BeginAttempt("w1.1", Rung.LIVE, "s1", 1, look_first=False, may_type=True, force=False),
    )


def test_an_old_fence_may_not_touch() -> None:
    wake = due(replace(claimed(), state=S.PENDING))
    for fence in (0, wake.fence - 1, wake.fence + 1):
        with pytest.raises(FenceRejected):
            decide(wake, TouchAllowed(fence, FACTS), POLICY, NOW)


def test_another_attempt_in_the_session_is_waited_for() -> None:
    wake = claimed()
    after = decide(wake, TouchAllowed(wake.fence, session(in_flight=True)), POLICY, NOW).state
    assert (after.state, after.reason, after.attempts) == (S.PENDING, WaitReason.SLOT, 0)


def test_another_session_that_took_the_seat_is_looked_at_anew() -> None:
    wake = claimed()
    after = decide(wake, TouchAllowed(wake.fence, session(session_id="s2")), POLICY, NOW).state
    assert (after.state, after.due_at, after.attempts) == (S.PENDING, NOW, 0)


def test_a_process_is_not_started_when_the_slots_were_taken_meanwhile() -> None:
    facts = replace(NOBODY, can_start=True)
    wake = claimed(facts)
    assert wake.rung is Rung.SPAWN
    after = decide(wake, TouchAllowed(wake.fence, replace(facts, slots_free=False)), POLICY, NOW).state
    assert (after.state, after.reason) == (S.PENDING, WaitReason.SLOT)


def test_a_pause_between_claim_and_touching_holds() -> None:
    wake = claimed()
    after = decide(wake, TouchAllowed(wake.fence, replace(FACTS, paused="stop")), POLICY, NOW).state
    assert (after.state, after.reason) == (S.PENDING, WaitReason.PAUSED)


def test_a_lease_that_ended_untouched_burns_nothing() -> None:
    wake = due(claimed(), now=POLICY.lease_s)
    assert (wake.state, wake.attempts, wake.tried, wake.due_at) == (
        S.PENDING,
        0,
        born().tried,
        at(POLICY.lease_s),
    )
    with pytest.raises(FenceRejected):
        decide(wake, TouchAllowed(1, FACTS), POLICY, at(POLICY.lease_s))


# --- humans -------------------------------------------------------------------------------------------------


def test_a_human_defers_for_a_minute_in_all_then_the_operator_is_told() -> None:
    wake, now, defers = born(), 0.0, 0
    while True:
        decision = decide(wake, Due(FACTS, "w"), POLICY, at(now))
        wake = decision.state
        if wake.state is S.FAILED:
            break
        wake = decide(wake, Postponed(wake.fence, WaitReason.HUMAN, "typing"), POLICY, at(now)).state
        assert wake.tried.live == 0
        now, defers = (wake.due_at - NOW).total_seconds(), defers + 1
    assert now == pytest.approx(POLICY.defer_s_max)
    assert defers == 13
    assert "human" in (wake.why or "")


def test_what_is_busy_is_rechecked_for_as_long_as_the_wake_lives() -> None:
    wake = born()
    for second in range(0, 200, 5):
        wake = claimed(wake=wake, now=at(second))
        wake = decide(wake, Postponed(wake.fence, WaitReason.BUSY, "dialog"), POLICY, at(second)).state
    assert (wake.state, wake.tried.live, wake.tried.occupied) == (S.PENDING, 0, False)


def test_force_skips_the_wait_once() -> None:
    wake = decide(claimed(), Postponed(1, WaitReason.HUMAN), POLICY, NOW).state
    forced = decide(wake, Forced("op"), POLICY, at(1)).state
    assert (forced.due_at, forced.forced) == (at(1), True)
    claim = claimed(wake=forced, now=at(1))
    begin = decide(claim, TouchAllowed(claim.fence, FACTS), POLICY, at(1))
    assert isinstance(begin.effects[0], BeginAttempt)
    assert begin.effects[0].force
    handed = decide(begin.state, HandedOver(claim.fence, Evidence.STRANDED, FACTS), POLICY, at(2)).state
    assert not handed.forced


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
    for event in (SignOfLife(), Accepted(wake.fence), CursorMoved(2)):
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
    after = decide(wake, Accepted(wake.fence), POLICY, at(3)).state
    assert (after.accepted_at, after.due_at) == (at(3), at(3 + POLICY.live.read_timeout_s))
    with pytest.raises(FenceRejected):
        decide(wake, Accepted(wake.fence - 1), POLICY, at(3))


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
    facts = replace(FACTS, can_start=True, session=replace(FACTS.session, live=False, process_alive=False))  # type: ignore[type-var]
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
            }
        )


def test_nothing_moves_death() -> None:
    wake = waiting()
    assert decide(wake, SignOfLife(), POLICY, at(60)).state.dies_at == wake.dies_at
    assert wake.dies_at - wake.created_at == timedelta(seconds=POLICY.wake_life_s_max)
