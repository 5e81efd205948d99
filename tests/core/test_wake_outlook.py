"""What is said ahead of a wake: in the words of its reason, and by the ladder that will choose."""

import itertools
from dataclasses import replace

import pytest

from bridge.core.effects import Notify
from bridge.core.ladder import Facts, SessionFacts, Tried, choose, rungs
from bridge.core.states import WAKE_FINAL, Evidence, Rung, WaitReason, WakeState
from bridge.core.wake import decide
from bridge.core.wake_events import CancelAsked, CursorMoved, Due, HandedOver, RunOver, Wake
from bridge.core.wake_judgement import nobody, tries_in_words
from bridge.core.wake_outlook import Outlook, outlook
from tests.core.wakes import BOTH, FACTS, LIVE, NOBODY, NOW, POLICY, at, born, session, touching, waiting

OFF = SessionFacts(session_id="s1", live=False, process_alive=False, resumable=True)
DORMANT = Facts(cursor=0, session=OFF, can_start=BOTH)


def ahead(wake: Wake, facts: Facts = FACTS, now: float = 0) -> Outlook:
    found = outlook(wake, facts, POLICY, at(now))
    assert found is not None
    return found


def pending(reason: WaitReason, **changes: object) -> Wake:
    return replace(born(), reason=reason, due_at=at(5), **changes)  # type: ignore[arg-type]


def test_the_rung_that_is_said_to_apply_first_is_the_one_that_is_chosen() -> None:
    flags = itertools.product((False, True), repeat=8)
    counts = [Tried(), Tried(live=3), Tried(live=3, resume=2), Tried(live=3, resume=2, spawn=1)]
    counts += [Tried(spent=frozenset({Rung.LIVE, Rung.RESUME})), Tried(occupied=True)]
    policies = (POLICY, replace(POLICY, spawn_beside_live=True))
    seen = set()
    for (there, live, alive, resumable, stale, crashing, resumes, spawns), tried, policy in itertools.product(
        flags, counts, policies
    ):
        held = SessionFacts("s1", live, alive or live, resumable=resumable, stale=stale, crashes=3 * crashing)
        starts = {rung for rung, can in ((Rung.RESUME, resumes), (Rung.SPAWN, spawns)) if can}
        facts = Facts(cursor=0, session=held if there else None, can_start=frozenset(starts))
        first = next((view.rung for view in rungs(tried, facts, policy) if view.applies), Rung.OPERATOR)
        assert first is choose(tried, facts, policy).rung
        seen.add(first)
    assert seen == set(Rung)


@pytest.mark.parametrize("state", sorted(WAKE_FINAL))
def test_of_a_wake_that_has_ended_nothing_is_said_ahead(state: WakeState) -> None:
    assert outlook(replace(born(), state=state), FACTS, POLICY, NOW) is None


@pytest.mark.parametrize("reason", list(WaitReason))
def test_every_reason_says_what_is_waited_for_until_when_and_what_follows(reason: WaitReason) -> None:
    found = ahead(pending(reason))
    assert found.waits_for
    assert found.until == at(5)
    assert "the agent reads up to 3" in found.sooner
    assert (found.next, found.next_rung) == ("live, try 1 of 3", Rung.LIVE)


def test_a_pause_names_its_reason_and_no_try_is_promised() -> None:
    found = ahead(pending(WaitReason.PAUSED), replace(FACTS, paused="maintenance"))
    assert (found.waits_for, found.next_rung) == ("it is paused: maintenance", None)
    assert found.sooner[0] == "the pause is ended"
    assert "waits on, until its life is over" in found.next
    assert "an operator forces it" not in found.sooner


def test_a_host_that_is_not_seen_says_where_else_it_goes() -> None:
    facts = replace(FACTS, host_seen=False, elsewhere="b")
    found = ahead(pending(WaitReason.HOST), facts)
    assert (found.waits_for, found.next_rung) == ("its host is not seen", None)
    assert "it moves to b" in found.sooner
    assert "drains" in ahead(pending(WaitReason.HOST), replace(DORMANT, draining=True)).waits_for


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (session(in_flight=True), "another attempt"),
        (replace(DORMANT, starting=True), "a process is being started"),
        (replace(DORMANT, agent_runs=2), "2 runs of the agent are open"),
        (replace(DORMANT, slots_free=False), "no slot of its host is free"),
        (DORMANT, "free by now"),
    ],
)
def test_who_waits_for_a_slot_is_told_which(facts: Facts, words: str) -> None:
    assert words in ahead(pending(WaitReason.SLOT), facts).waits_for


def test_humans_rates_and_seats_come_with_their_numbers() -> None:
    human = pending(WaitReason.HUMAN, deferred_s=10.0, since=at(0))
    assert "since 15 s, at most 60 s" in ahead(human, now=5).waits_for
    assert "10 attempts" in ahead(pending(WaitReason.RATE), replace(FACTS, wakes_last_minute=10)).waits_for
    seat = ahead(pending(WaitReason.SEAT), NOBODY, now=20)
    assert "for 40 s more" in seat.waits_for
    assert "it waits 60 s for a session" in seat.next
    assert seat.next_rung is None


def test_one_wake_of_an_unreachable_agent_is_its_probe() -> None:
    facts = replace(FACTS, unreachable_until=at(60))
    assert ahead(pending(WaitReason.UNREACHABLE), facts).next.startswith(
        "one wake of the agent tries, as a probe"
    )


def test_hands_are_named_with_what_they_do() -> None:
    held = decide(born(), Due(FACTS, "w-1"), POLICY, NOW).state
    assert ahead(held).waits_for == "w-1 looks whether the way is free for live"
    assert "types the line" in ahead(touching()).waits_for
    assert "starts the process" in ahead(touching(DORMANT)).waits_for


def test_a_line_that_was_taken_waits_for_the_cursor_and_then_falls_back() -> None:
    found = ahead(waiting(), replace(FACTS, can_start=BOTH))
    assert found.waits_for.startswith("the agent reads up to 3 (longer while it is busy")
    assert found.until == at(POLICY.live.read_timeout_s)
    assert found.next == "no rung is left: it fails, and the operators and whoever wrote are told"
    unsure = ahead(waiting(Evidence.UNVERIFIED))
    assert unsure.waits_for == "the runtime to show that it took the text"
    assert unsure.next == "this try has failed; then live, try 2 of 3, after 2 s"


def test_a_process_that_was_started_is_waited_for_to_show_itself_and_its_end_is_judged_at_once() -> None:
    wake = waiting(Evidence.UNVERIFIED, DORMANT)
    found = ahead(wake, DORMANT)
    assert found.waits_for == "its process to show whose session it is"
    assert "its process ends: judged at once" in found.sooner
    assert found.next == "this try has failed; then resume, try 2 of 2, after 2 s"
    last = replace(wake, tried=Tried(resume=2))
    assert ahead(last, DORMANT).next == "this try has failed; then spawn, try 1 of 1"
    done = ahead(replace(last, tried=Tried(resume=2, spawn=1)), DORMANT)
    assert done.next_rung is None
    assert "no rung applies: it waits 60 s for a session of the agent; then it fails" in done.next


def test_what_is_said_to_come_next_is_what_comes() -> None:
    for facts, wake in (
        (FACTS, waiting(Evidence.UNVERIFIED)),
        (DORMANT, waiting(Evidence.UNVERIFIED, DORMANT)),
    ):
        found = ahead(wake, facts)
        later = decide(wake, Due(facts, "w"), POLICY, wake.due_at).state
        claimed = decide(later, Due(facts, "w"), POLICY, later.due_at).state
        assert claimed.rung is found.next_rung


# --- the words of the end -------------------------------------------------------------------------------------


def test_what_was_tried_is_counted_rung_by_rung() -> None:
    assert tries_in_words(Tried()) == "nothing could be tried"
    assert tries_in_words(Tried(live=3, spawn=1)) == "tried: live 3, spawn 1"


def test_a_failure_names_the_agent_what_was_tried_and_why_the_last_try_failed() -> None:
    wake = replace(born(), tried=Tried(resume=2))
    wake = waiting(Evidence.UNVERIFIED, replace(DORMANT, session=None), wake)
    assert wake.attempt_id is not None
    over = RunOver(wake.attempt_id, "its process ended before the message was read: exit status 3", DORMANT)
    wake = decide(wake, over, POLICY, at(1)).state
    for _ in range(2):  # it looks, and then waits for a session to take the seat, in vain
        wake = replace(decide(wake, Due(DORMANT, "w"), POLICY, wake.due_at).state, due_at=at(1))
    (note,) = [e for e in decide(wake, Due(DORMANT, "w"), POLICY, at(90)).effects if isinstance(e, Notify)]
    assert note.text == (
        "reviewer could not be woken (tried: resume 2, spawn 1): "
        "its process ended before the message was read: exit status 3; "
        "live: its session is not in a terminal of the bridge; "
        "resume: all 2 tries are used; spawn: its one try is used"
    )


def test_a_session_that_is_open_elsewhere_costs_no_try() -> None:
    wake = waiting(Evidence.UNVERIFIED, DORMANT, born())
    assert (wake.rung, wake.tried.resume, wake.attempt_id is None) == (Rung.RESUME, 1, False)
    over = RunOver(wake.attempt_id or "", "another program has the session open", DORMANT)
    after = decide(wake, over, POLICY, at(1)).state
    assert (after.state, after.tried.resume) == (WakeState.PENDING, 1)
    spared = decide(wake, replace(over, elsewhere=True), POLICY, at(1)).state
    assert (spared.state, spared.tried.resume, spared.tried.spawn) == (WakeState.PENDING, 0, 0)


def test_when_nothing_applies_each_rung_says_why() -> None:
    wake = replace(born(), tried=Tried(resume=2), attempts=2, why="exit status 3")
    facts = replace(DORMANT, can_start=frozenset({Rung.RESUME}))
    assert nobody(wake, facts, POLICY) == (
        "exit status 3; live: its session is not in a terminal of the bridge; "
        "resume: all 2 tries are used; spawn: its host has no preset that starts it"
    )
    crashing = replace(facts, session=replace(OFF, crashes=3))
    assert "resume: its session crashed 3 times within 900 s" in nobody(born(), crashing, POLICY)
    stale = replace(facts, session=replace(OFF, stale=True))
    assert "resume: its session was silent for more than 43200 s" in nobody(born(), stale, POLICY)


def test_a_force_is_no_reason_why_nothing_applies() -> None:
    forced = replace(born(), why="forced by olivia: now")
    assert nobody(forced, NOBODY, POLICY) == "it has no session, and nothing is configured to start one"
    held = replace(NOBODY, session=replace(LIVE, live=False))
    assert "starts none beside it" in nobody(forced, held, POLICY)
    offline = replace(NOBODY, session=OFF)
    assert (
        nobody(forced, offline, POLICY)
        == "its session is offline, and nothing is configured to start another"
    )


def test_what_ends_a_wait_by_hand_ends_it() -> None:
    wake = pending(WaitReason.SLOT)
    assert decide(wake, CursorMoved(3), POLICY, at(1)).state.state is WakeState.ALREADY_ACTIVE
    assert decide(wake, CancelAsked("x"), POLICY, at(1)).state.state is WakeState.CANCELLED
    handed = decide(touching(), HandedOver(1, Evidence.ACCEPTED, FACTS), POLICY, NOW).state
    assert decide(handed, CursorMoved(3), POLICY, at(1)).state.state is WakeState.ACKED
