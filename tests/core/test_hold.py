"""A held session is left alone, on every rung, but for what is forced; a hold burns nothing and moves no death."""

from dataclasses import replace

import pytest

from bridge.core.effects import BeginAttempt, MarkUnreachable, Notify
from bridge.core.errors import Forbidden, InvalidArgument
from bridge.core.hold import Hold, check_holder, hold_seconds, hold_words
from bridge.core.ladder import Facts, SessionFacts
from bridge.core.policy import Policy
from bridge.core.session import Heartbeat, Held, Released, Session, decide
from bridge.core.session import facts as session_facts
from bridge.core.states import Rung, SessionStatus, WaitReason, WakeState
from bridge.core.wake import decide as judge
from bridge.core.wake_events import Due, Forced, SignOfLife, TouchAllowed, Wake
from bridge.core.wake_outlook import outlook
from tests.core.wakes import BOTH, FACTS, LIVE, NOW, POLICY, at, born, claimed

HOLD = Hold(at(900), "olivia", "a rebase")
HELD = replace(FACTS, session=replace(LIVE, hold=HOLD))
ASLEEP = SessionFacts("s1", live=False, process_alive=False, resumable=True)
SESSION = Session("ws", "s1", "reviewer", "pty", SessionStatus.IDLE, attached=True)


def look(wake: Wake, facts: Facts = HELD, now: float = 0) -> Wake:
    return judge(wake, Due(facts, "w"), POLICY, at(now)).state


# --- the session -----------------------------------------------------------------------------------------------


def test_a_hold_lasts_until_its_time_whatever_the_session_does_meanwhile() -> None:
    held = decide(SESSION, Held(at(60), "olivia", "hands off"), NOW)
    beaten = decide(held, Heartbeat("pty", resumable=True, status=SessionStatus.IDLE), at(1))
    assert beaten.hold(at(59)) == Hold(at(60), "olivia", "hands off")
    assert beaten.hold(at(60)) is None
    assert session_facts(beaten, POLICY, at(59), in_flight=False).hold == Hold(at(60), "olivia", "hands off")
    assert session_facts(beaten, POLICY, at(60), in_flight=False).hold is None


def test_the_last_word_counts_and_a_release_ends_it() -> None:
    held = decide(SESSION, Held(at(60), "olivia"), NOW)
    assert decide(held, Held(at(30), "reviewer"), at(1)).hold(at(2)) == Hold(at(30), "reviewer")
    assert decide(held, Released(), at(1)) == SESSION


@pytest.mark.parametrize(("asked", "lasts"), [(0, 0), (1, 1), (900, 900), (14_400, 14_400), (None, 14_400)])
def test_a_hold_is_bounded(asked: float | None, lasts: float) -> None:
    assert hold_seconds(asked, POLICY) == lasts


@pytest.mark.parametrize("asked", [0.5, -1, 14_401, float("nan"), float("inf")])
def test_a_longer_hold_than_the_policy_allows_is_refused(asked: float) -> None:
    with pytest.raises(InvalidArgument, match=r"from 1 to 14400 seconds \(hold_s_max\)"):
        hold_seconds(asked, POLICY)


def test_a_policy_may_allow_no_hold_and_a_release_is_always_allowed() -> None:
    never = Policy(hold_s_max=0.0)
    assert hold_seconds(0, never) == 0
    for asked in (60, None):
        with pytest.raises(InvalidArgument, match="hold_s_max is 0"):
            hold_seconds(asked, never)


def test_nobody_but_an_operator_ends_somebody_elses_hold() -> None:
    check_holder(HOLD, "olivia", operator=False)
    check_holder(HOLD, "root", operator=True)
    check_holder(None, "reviewer", operator=False)
    with pytest.raises(
        Forbidden, match="olivia holds it until 00:15:00 UTC: a rebase; only olivia or an operator"
    ):
        check_holder(HOLD, "reviewer", operator=False)


def test_without_a_reason_none_is_said() -> None:
    assert hold_words(Hold(at(60), "olivia")) == "olivia holds it until 00:01:00 UTC"


# --- the wake --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "facts",
    [
        HELD,
        replace(HELD, can_start=BOTH),
        Facts(0, session=replace(ASLEEP, hold=HOLD), can_start=BOTH),
        Facts(0, session=replace(ASLEEP, hold=HOLD, resumable=False), can_start=frozenset({Rung.SPAWN})),
        Facts(0, session=replace(ASLEEP, hold=HOLD)),
    ],
    ids=["live", "live, startable", "resume", "spawn", "nothing"],
)
def test_a_held_session_is_left_alone_on_every_rung_and_nothing_is_burnt(facts: Facts) -> None:
    wake = look(born(), facts)
    assert (wake.state, wake.reason, wake.attempts, wake.tried) == (
        WakeState.PENDING,
        WaitReason.HELD,
        0,
        born().tried,
    )
    assert (wake.dies_at, wake.deferred_s) == (born().dies_at, 0)


def test_its_end_is_waited_for_and_looked_for_more_and_more_seldom() -> None:
    soon = replace(HELD, session=replace(LIVE, hold=replace(HOLD, until=at(2))))
    assert look(born(), soon).due_at == at(2)
    wake = look(born())
    gaps = []
    for _ in range(30):
        later = look(wake, HELD, (wake.due_at - NOW).total_seconds())
        if later.state is not WakeState.PENDING:
            break
        gaps.append((later.due_at - wake.due_at).total_seconds())
        wake = later
    assert gaps[0] < gaps[5]
    assert max(gaps) <= 65


def test_a_hold_of_a_human_who_typed_before_adds_nothing_to_the_deferral() -> None:
    deferred = replace(born(), reason=WaitReason.HUMAN, since=NOW, due_at=at(5), deferred_s=3.0)
    held = look(deferred, HELD, 5)
    assert look(held, HELD, 900).deferred_s == held.deferred_s <= 8.0


def test_a_hold_between_claim_and_touching_is_seen() -> None:
    wake = claimed()
    decision = judge(wake, TouchAllowed(wake.fence, HELD), POLICY, at(1))
    assert (decision.state.state, decision.state.reason) == (WakeState.PENDING, WaitReason.HELD)
    assert decision.effects == ()


def test_what_is_forced_passes_and_checks_the_box_all_the_same() -> None:
    wake = judge(look(born()), Forced("olivia: it burns"), POLICY, at(1)).state
    wake = look(wake, HELD, 1)
    assert wake.state is WakeState.DELIVERING
    begun = judge(wake, TouchAllowed(wake.fence, HELD), POLICY, at(1)).effects[0]
    assert isinstance(begun, BeginAttempt)
    assert (begun.force, begun.rung) == (True, Rung.LIVE)


def test_a_pause_holds_what_is_forced_too() -> None:
    wake = judge(born(), Forced("olivia"), POLICY, NOW).state
    assert look(wake, replace(HELD, paused="maintenance")).reason is WaitReason.PAUSED


def test_a_release_is_looked_at_at_once() -> None:
    wake = judge(look(born()), SignOfLife(), POLICY, at(3)).state
    assert wake.due_at == at(3)
    assert look(wake, FACTS, 3).state is WakeState.DELIVERING


def test_who_dies_behind_a_hold_says_whose_and_proves_nothing_about_the_agent() -> None:
    wake = look(born())
    forever = replace(HELD, session=replace(LIVE, hold=replace(HOLD, until=at(14_400))))
    life_s = POLICY.wake_life_s_max
    decision = judge(replace(wake, due_at=wake.dies_at), Due(forever, "w"), POLICY, at(life_s))
    assert decision.state.state is WakeState.FAILED
    assert decision.state.why == (
        "its life is over; it last waited for: held (olivia holds it until 04:00:00 UTC: a rebase)"
    )
    assert MarkUnreachable() not in decision.effects
    assert any(isinstance(effect, Notify) for effect in decision.effects)


def test_it_is_said_ahead_who_holds_it_and_what_follows() -> None:
    said = outlook(look(born()), HELD, POLICY, at(1))
    assert said is not None
    assert said.waits_for == "its session is to be left alone: olivia holds it until 00:15:00 UTC: a rebase"
    assert said.sooner[0] == "the hold is released"
    assert "an operator forces it" in said.sooner
    assert said.next == "once nobody holds its session: live, try 1 of 3"
