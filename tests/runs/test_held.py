"""A session that somebody's terminal holds is seen from outside, whatever the database believes."""

import os
import pty
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bridge.adapters.runtimes.orphans import held_by_hand, sessions_by_hand

SESSION = "ses_held_by_hand"
MARK = f"BRIDGE_SESSION_ID={SESSION} BRIDGE_WORKSPACE_ID=ws"


@contextmanager
def terminal(program: str) -> Iterator[None]:
    """As `bridge run` does it: a process leads the terminal's session, and the program is its child."""
    monitor = subprocess.Popen(
        ["/bin/sh", "-c", f"{program}; :"],
        env={"PATH": os.defpath},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert monitor.stdout is not None
    assert monitor.stdout.readline() == b"here\n"
    yield
    monitor.communicate(b"\n\n")


def test_a_program_that_a_terminal_started_in_the_session_holds_it() -> None:
    with terminal(f"env {MARK} /bin/sh -c 'echo here; read line; :'"):
        assert held_by_hand("ws", SESSION)
        assert ("ws", SESSION) in sessions_by_hand()
        assert not held_by_hand("ws", "ses_another")
        assert not held_by_hand("another", SESSION), "the same name in another workspace is another session"
    assert not held_by_hand("ws", SESSION)


def test_what_the_bridge_started_there_is_no_terminals() -> None:
    with terminal(f"env {MARK} BRIDGE_RUN_ID=run_1 /bin/sh -c 'echo here; read line; :'"):
        assert not held_by_hand("ws", SESSION)


@pytest.mark.parametrize("left", ["cat", "setsid cat", "setsid sh -c 'cat; :'"])
def test_a_server_that_the_program_left_behind_does_not_keep_its_agent_from_being_woken(left: str) -> None:
    program = shlex.quote(f"exec 3<&0; {left} <&3 >/dev/null & echo here")
    with terminal(f"env {MARK} /bin/sh -c {program}; cat"):
        assert not held_by_hand("ws", SESSION)


def test_a_program_that_leads_its_terminal_holds_the_session_as_well() -> None:
    """As in a pane of tmux, whose wrapper is a process beside it, and may be gone."""
    pid, terminal = pty.fork()
    if pid == 0:
        variables = dict(mark.split("=") for mark in MARK.split())
        os.execve("/bin/sh", ["sh", "-c", "echo here; read line; :"], variables)  # noqa: S606  the test's own program
    assert b"here" in os.read(terminal, 100)
    assert held_by_hand("ws", SESSION)
    os.write(terminal, b"\n")
    os.waitpid(pid, 0)
    os.close(terminal)
    assert not held_by_hand("ws", SESSION)
