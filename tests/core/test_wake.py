"""What each rule of the wake does, by example."""

from dataclasses import replace

import pytest

from bridge.core.effects import (
    BeginAttempt,
    Probe,
    TakeProbe,
)
from bridge.core.errors import FenceRejected
from bridge.core.ladder import Facts
from bridge.core.states import Evidence, Rung, ThreadStatus, WaitReason, WakeState
from bridge.core.wake import birth, decide
from bridge.core.wake_events import (
    Due,
    Forced,
    HandedOver,
    Postponed,
    SessionLost,
    TouchAllowed,
    Wake,
)
from tests.core.wakes import (
    BOTH,
    FACTS,
    NOBODY,
    NOW,
    POLICY,
    at,
    born,
    claimed,
    session,
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


def test_the_ladder_of_a_wake_that_probes_is_one_probe_and_not_one_for_each_try() -> None:
    facts = replace(FACTS, unreachable_until=at(-1))
    tried = replace(born(), attempts=1)
    effects = decide(tried, Due(facts, "w"), POLICY, NOW).effects
    assert not any(isinstance(effect, TakeProbe) for effect in effects)


def test_the_probe_of_an_unreachable_agent_is_taken_with_the_claim() -> None:
    facts = replace(FACTS, unreachable_until=at(-1))
    assert TakeProbe(at(-1)) in decide(born(), Due(facts, "w"), POLICY, NOW).effects
    effects = decide(born(), Due(FACTS, "w"), POLICY, NOW).effects
    assert not any(isinstance(effect, TakeProbe) for effect in effects)


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
    facts = replace(NOBODY, can_start=BOTH)
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
