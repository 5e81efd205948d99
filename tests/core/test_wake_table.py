"""The table is complete: every pair of a state and an event is handled, ignored, late or illegal."""

from collections.abc import Callable

import pytest

from bridge.core.errors import FenceRejected, InvalidTransition
from bridge.core.states import WAKE_FINAL, WAKE_OPEN, Evidence, Rung, WaitReason, WakeState
from bridge.core.wake import EVENTS, TRANSITIONS, Event, Handled, Verdict, decide
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
from tests.core.wakes import FACTS, NOW, POLICY, born, claimed, touching, waiting

EXAMPLES: list[Event] = [
    Due(FACTS, "w"),
    TouchAllowed(1, FACTS),
    Postponed(1, WaitReason.HUMAN),
    HandedOver(1, Evidence.ACCEPTED, FACTS),
    Joined("w2.1", 3, accepted=True, rung=Rung.LIVE, session_id="s1"),
    Accepted("w1.1"),
    RunOver("w1.1", "it ended", FACTS),
    CursorMoved(1),
    TargetRaised(9),
    SignOfLife(),
    SessionLost("s1"),
    Forced("op"),
    CancelAsked("enough"),
]


def in_state(state: WakeState) -> Wake:
    stages: dict[WakeState, Callable[[], Wake]] = {
        WakeState.ACKED: lambda: decide(waiting(), CursorMoved(3), POLICY, NOW).state,
        WakeState.ALREADY_ACTIVE: lambda: decide(born(), CursorMoved(3), POLICY, NOW).state,
        WakeState.CANCELLED: lambda: decide(born(), CancelAsked("x"), POLICY, NOW).state,
        WakeState.FAILED: lambda: decide(born(), Due(FACTS), POLICY, born().dies_at).state,
        WakeState.PENDING: born,
        WakeState.DELIVERING: claimed,
        WakeState.TOUCHING: touching,
        WakeState.WAITING: waiting,
    }
    wake = stages[state]()
    assert wake.state is state
    return wake


CELLS = [(state, event) for state in WakeState for event in EXAMPLES]


def test_every_pair_of_state_and_event_has_a_cell_and_there_is_no_other() -> None:
    assert set(TRANSITIONS) == {(state, event) for state in WakeState for event in EVENTS}
    assert {type(event) for event in EXAMPLES} == set(EVENTS)


def test_a_final_state_handles_nothing() -> None:
    assert all(isinstance(TRANSITIONS[state, event], Verdict) for state in WAKE_FINAL for event in EVENTS)


def test_every_open_state_can_be_left_by_the_clock() -> None:
    for state in WAKE_OPEN:
        cell = TRANSITIONS[state, Due]
        assert isinstance(cell, Handled)
        assert WakeState.FAILED in cell.to


def test_every_state_can_be_reached() -> None:
    reached = {WakeState.PENDING}.union(
        *(cell.to for cell in TRANSITIONS.values() if isinstance(cell, Handled))
    )
    assert reached == set(WakeState)


@pytest.mark.parametrize(("state", "event"), CELLS, ids=lambda x: getattr(x, "value", type(x).__name__))
def test_a_pair_does_what_the_table_says(state: WakeState, event: Event) -> None:
    wake, cell = in_state(state), TRANSITIONS[state, type(event)]
    if cell is Verdict.ILLEGAL:
        with pytest.raises(InvalidTransition):
            decide(wake, event, POLICY, NOW)
    elif cell is Verdict.LATE:
        with pytest.raises(FenceRejected):
            decide(wake, event, POLICY, NOW)
    elif cell is Verdict.IGNORED:
        assert decide(wake, event, POLICY, NOW) == (wake, ())
    else:
        assert decide(wake, event, POLICY, NOW).state.state in cell.to
