"""A session that somebody's terminal holds is seen from outside, whatever the database believes."""

import subprocess
from collections.abc import Iterator

import pytest

from bridge.adapters.runtimes.orphans import held_by_hand

SESSION = "ses_held_by_hand"
PROGRAM = ["/bin/sh", "-c", "read line"]


@pytest.fixture
def held(request: pytest.FixtureRequest) -> Iterator[int]:
    """A program that was started with these marks, and waits for a line."""
    process = subprocess.Popen(PROGRAM, env=request.param, stdin=subprocess.PIPE)
    yield process.pid
    process.communicate(b"\n")


@pytest.mark.parametrize("held", [{"BRIDGE_SESSION_ID": SESSION}], indirect=True)
def test_a_program_that_a_terminal_started_in_the_session_holds_it(held: int) -> None:
    assert held_by_hand(SESSION) == held
    assert held_by_hand("ses_another") is None


@pytest.mark.parametrize("held", [{"BRIDGE_SESSION_ID": SESSION, "BRIDGE_RUN_ID": "run_1"}], indirect=True)
def test_what_the_bridge_started_there_is_no_terminals(held: int) -> None:
    assert held
    assert held_by_hand(SESSION) is None
