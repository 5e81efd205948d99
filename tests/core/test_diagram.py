"""The printed pages show the whole table."""

from bridge.core import diagram
from bridge.core.states import WAKE_OPEN, ThreadStatus
from bridge.core.wake import EVENTS, TRANSITIONS, Handled


def test_the_wakes_page_has_every_event_rule_and_edge() -> None:
    page = diagram.wake_table()
    for event in EVENTS:
        assert f"| `{event.__name__}` |" in page
    for (state, event), cell in TRANSITIONS.items():
        if isinstance(cell, Handled):
            assert f"**{cell.rule.__name__}**" in page
            for to in cell.to - {state}:
                edge = next(line for line in page.splitlines() if line.startswith(f"    {state} --> {to}:"))
                assert event.__name__ in edge
    assert all(f"`{state}`" in page for state in WAKE_OPEN)


def test_there_is_a_page_for_each_aggregate_with_a_table() -> None:
    assert set(diagram.pages()) == {"wake", "thread", "session", "run"}
    assert all(f"`{status}`" in diagram.thread_table() for status in ThreadStatus)
