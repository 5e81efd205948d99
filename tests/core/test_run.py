"""A run's life: asked to end, it proves nothing any more; its end is judged once; afterwards nothing changes."""

from datetime import datetime

import pytest

from bridge.core.effects import AcceptAttempt, JudgeAttempt, TakeSeat
from bridge.core.run import EVENTS, TRANSITIONS, EndAsked, Ended, Event, Proved, Run, Started, decide
from bridge.core.states import Rung, RunResult, RunState, SessionFound
from tests.core.wakes import NOW, at

S = RunState
BORN = Run(
    run_id="run_1",
    workspace_id="ws",
    agent_id="reviewer",
    session_id="s1",
    native_id="n0",
    attempt_id="w1.1",
    rung=Rung.RESUME,
    preset="script",
    host="local",
    worker="w",
    slot=1,
    begun_at=NOW,
    kill_at=at(900),
)
STARTED = Started("boot", 10, 11, 12)
EXAMPLES: list[Event] = [
    STARTED,
    Proved("n1", resumable=True),
    EndAsked("enough"),
    Ended(RunResult.EXITED, 0),
]


def lived(*events: Event, now: datetime = NOW) -> Run:
    run = BORN
    for event in events:
        run = decide(run, event, now).state
    return run


def test_every_pair_of_state_and_event_has_a_rule() -> None:
    assert set(TRANSITIONS) == {(state, event) for state in RunState for event in EVENTS}


def test_a_run_that_proves_itself_takes_the_seat_and_its_wakes_are_accepted_once() -> None:
    proved = decide(lived(STARTED), EXAMPLES[1], at(1))
    assert (proved.state.native_id, proved.state.proved_at) == ("n1", at(1))
    assert proved.effects == (TakeSeat("s1", resumable=True), AcceptAttempt("w1.1"))
    assert decide(proved.state, Proved("n2"), at(2)) == (proved.state, ())


def test_a_proof_may_come_before_the_word_that_it_started() -> None:
    early = decide(BORN, EXAMPLES[1], at(1)).state
    assert (early.state, early.proved_at) == (S.STARTING, at(1))
    assert decide(early, STARTED, at(2)).state.state is S.RUNNING


def test_what_was_asked_to_end_proves_nothing_any_more_and_keeps_the_first_reason() -> None:
    ending = lived(STARTED, EndAsked("a terminal holds its session now"))
    assert decide(ending, Proved("n1"), at(1)) == (ending, ())
    assert decide(ending, EndAsked("again"), at(1)).state == ending
    over = decide(ending, Ended(RunResult.KILLED, -15, "asked"), at(2)).state
    assert (over.why, over.result, over.exit_status) == (
        "a terminal holds its session now",
        RunResult.KILLED,
        -15,
    )


def test_where_its_process_is_is_noted_though_it_is_to_end() -> None:
    seen = decide(lived(EndAsked("enough")), STARTED, at(1)).state
    assert (seen.state, seen.pid, seen.shim_pid) == (S.ENDING, 11, 10)


@pytest.mark.parametrize("before", [(), (STARTED,), (STARTED, EndAsked("x"))])
def test_its_end_is_judged_from_every_state_and_only_once(before: tuple[Event, ...]) -> None:
    ended = decide(lived(*before), Ended(RunResult.CRASHED, 1, "exit status 1"), at(3))
    assert (ended.state.state, ended.state.ended_at) == (S.ENDED, at(3))
    assert [type(effect) for effect in ended.effects] == [JudgeAttempt]
    for event in EXAMPLES:
        assert decide(ended.state, event, at(4)) == (ended.state, ())


@pytest.mark.parametrize(
    ("found", "result"),
    [
        (None, RunResult.CRASHED),
        (SessionFound.GONE, RunResult.CRASHED),
        (SessionFound.ELSEWHERE, RunResult.LOST),
    ],
)
def test_a_session_that_is_open_elsewhere_counts_for_no_crash_loop(
    found: SessionFound | None, result: RunResult
) -> None:
    """Exits and crashes do: with three of them the next rung would start another session beside the open one."""
    assert lived(STARTED, Ended(RunResult.CRASHED, 1, "it ended", found)).result is result
