"""The wrapper as a program: exit codes, signals, sizes, job control, what it leaves behind."""

import json
import os
import signal
import stat
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest

from tests.terminal.world import ROOT, World, lives, program


def agent(world: World, **window: Any) -> World:  # noqa: ANN401  the window's own fields
    return world.start(program("line.py", str(world.directory / "got")), **window).ready()


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["/bin/sh", "-c", "exit 42"], 42),
        (["/bin/true"], 0),
        (["/bin/sh", "-c", "kill -9 $$"], 137),
        (["/bin/sh", "-c", "kill -TERM $$"], 143),
        (["no-such-command-here"], 127),
        (["/etc/passwd"], 126),
    ],
)
@pytest.mark.parametrize("headless", [False, True])
def test_the_exit_code_is_the_agents(world: World, command: list[str], code: int, headless: bool) -> None:
    world.start(command, headless=headless)
    assert world.exit_code() == code


def test_the_last_output_is_shown_and_the_terminal_is_given_back(world: World) -> None:
    modes = r"\033[?1049h\033[?2004h\033[?1004h\033[?25l\033[>7uin the alternate screen"
    world.start(["/bin/sh", "-c", f"printf 'before\\n'; printf '{modes}'; kill -9 $$"])
    before = termios.tcgetattr(world.window.master)
    assert world.exit_code() == 137
    world.until(lambda: world.window.master < 0 or not world.window.model.mode(1049))
    model = world.window.model
    assert [model.mode(number) for number in (1049, 2004, 1004, 25)] == [False, False, False, True]
    assert model.get("kitty_keyboard_flags", "uint8_t") == 0
    assert "before" in world.window.text
    assert before[3] & termios.ICANON


def test_a_new_size_reaches_the_agent(world: World) -> None:
    script = "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done"
    world.start(["/bin/bash", "-c", script], cols=80, rows=24)
    world.until(lambda: "24 80" in world.window.text)
    world.window.resize(101, 33)
    world.until(lambda: "33 101" in world.window.text)


def test_a_wake_is_recognised_after_a_resize(world: World) -> None:
    agent(world)
    for cols, rows in ((60, 20), (110, 12), (24, 8)):
        world.window.resize(cols, rows)
    text = "one line that is longer than the window is wide"
    assert world.injected("wake-1", text)["result"] == "accepted"
    world.until(lambda: world.lines() == [text])


def test_ctrl_c_reaches_the_agent_and_the_wrapper_lives(world: World) -> None:
    agent(world)
    world.window.type(b"half a line\x03")
    world.until(lambda: world.lines() == ["^C"])
    assert world.injected("wake-1", "after it")["result"] == "accepted"
    world.until(lambda: world.lines() == ["^C", "after it"])


def test_an_agent_that_ends_at_our_enter_has_taken_the_text(world: World) -> None:
    agent(world)
    answer = world.injected("wake-1", "exit 6")
    assert (answer["result"], answer["enters"]) == ("accepted", 1)
    assert world.exit_code() == 6


def test_an_agent_that_ends_before_anything_was_typed_leaves_the_wake_untouched(world: World) -> None:
    agent(world)
    world.window.type(b"x")
    world.until(lambda: world.status()["screen"] == "draft")
    number = world.host.inject("wake-1", "hello", quiet_s=0.0, wait_s=30.0, deadline_s=30.0)
    world.status()
    world.window.type(b"\x15\x04")
    answer = world.answered(number)
    assert (answer["result"], answer["why"], world.exit_code()) == ("not_touched", "stopped", 0)


def test_ctrl_d_ends_the_agent(world: World) -> None:
    agent(world).window.type(b"\x04")
    assert world.exit_code() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_handed_on_and_everything_is_cleared_away(world: World, number: int) -> None:
    agent(world)
    token = next((world.directory / "private").iterdir())
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert token.read_text() == "token-1"
    below = world.below()
    os.kill(world.window.pid, number)
    assert world.exit_code() == 128 + number
    world.until(lambda: world.host.ended)
    assert world.host.got[-1] == {"op": "event", "event": "exited", "status": 128 + number}
    assert list((world.directory / "private").iterdir()) == []
    assert world.lines("heartbeats")[-1] == "session-1 pty False offline"
    assert not any(lives(pid) for pid in below)


def test_killed_outright_it_leaves_no_process_no_token_and_a_usable_terminal(world: World) -> None:
    agent(world)
    world.window.model.feed(b"")
    below = world.below()
    assert len(below) == 2
    os.kill(world.window.pid, signal.SIGKILL)
    world.exit_code()
    world.until(lambda: not any(lives(pid) for pid in below))
    world.until(lambda: world.host.ended)
    assert list((world.directory / "private").iterdir()) == []


def test_an_agent_that_ignores_the_hangup_dies_all_the_same(world: World) -> None:
    world.start(["/bin/sh", "-c", "trap '' HUP TERM; echo here; while :; do sleep 0.2; done"], headless=False)
    world.until(lambda: "here" in world.window.text)
    below = world.below()
    os.kill(world.window.pid, signal.SIGKILL)
    world.exit_code()
    world.until(lambda: not any(lives(pid) for pid in below))


def test_ctrl_z_stops_the_job_and_fg_goes_on(world: World) -> None:
    """From an interactive shell, as a human does it."""
    wrapped = " ".join(
        [
            *program("wrapped.py", "--dir", str(world.directory), "--"),
            *program("line.py", str(world.directory / "got")),
        ]
    )
    shell = world.shell()
    world.until(lambda: "$" in shell.text)
    shell.type(wrapped.encode() + b"\r")
    world.ready()
    assert world.injected("wake-1", "before")["result"] == "accepted"
    world.until(lambda: world.lines() == ["before"])
    world.until(lambda: world.status()["screen"] == "empty")
    shell.type(b"\x1a")
    world.until(lambda: "Stopped" in shell.text)
    shell.type(b"echo in the shell\r")
    world.until(lambda: "\nin the shell" in shell.text)
    shell.type(b"fg\r")
    world.until(lambda: not world.status()["stopped"])
    shell.type(b"typed after\r")
    world.until(lambda: world.lines() == ["before", "typed after"])
    assert world.injected("wake-2", "after")["result"] == "accepted"
    world.until(lambda: world.lines() == ["before", "typed after", "after"])
    shell.type(b"exit 3\r")
    world.until(lambda: shell.text.endswith("> exit 3\n$"))
    shell.type(b"echo code $?\r")
    world.until(lambda: "code 3" in shell.text)


def test_ctrl_z_without_a_shell_to_return_to_does_not_lose_the_agent(world: World) -> None:
    agent(world).window.type(b"\x1a")
    world.until(lambda: "^Z" in world.window.text)
    world.window.type(b"goes on\r")
    world.until(lambda: world.lines() == ["goes on"])


def test_a_stopped_agent_is_not_touched_and_said_to_be_stopped(world: World) -> None:
    world.start(program("line.py", str(world.directory / "got")), headless=True).ready()
    below = world.below()
    os.kill(below[-1], signal.SIGSTOP)
    world.until(lambda: world.status()["stopped"])
    answer = world.injected("wake-1", "hello", wait_s=0.2)
    assert (answer["result"], answer["why"]) == ("not_touched", "stopped")
    os.kill(below[-1], signal.SIGCONT)
    world.until(lambda: not world.status()["stopped"])
    assert world.injected("wake-1", "hello")["result"] == "accepted"


def test_without_a_terminal_the_program_runs_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    command = program("wrapped.py", "--dir", str(tmp_path), "--", "/bin/sh", "-c", "cat; exit 9")
    done = subprocess.run(
        command, input=b"through\n", capture_output=True, check=False, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
    )
    assert (done.returncode, done.stdout) == (9, b"through\n")
    assert b"no terminal here" in done.stderr


def test_headless_it_needs_no_terminal_and_copies_the_output(world: World) -> None:
    log = world.directory / "log"
    command = program("wrapped.py", "--dir", str(world.directory), "--headless", "--log", str(log), "--")
    agent_command = program("line.py", str(world.directory / "got"))
    with subprocess.Popen(
        [*command, *agent_command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    ) as process:
        world.until(lambda: "ready" in world.host.events())
        number = world.host.inject("wake-1", "exit 5")
        world.until(lambda: world.host.answer(number))
        assert process.wait(20) == 5
        assert process.stdout is not None
        assert process.stdout.read() == b""
    assert world.lines() == ["exit 5"]
    assert b"> exit 5" in log.read_bytes()


def test_the_agent_finds_the_bridge_in_its_environment(world: World) -> None:
    script = (
        "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('BRIDGE')}))"
    )
    world.start([program("line.py")[0], "-c", script], cols=200, environment={"BRIDGE_TOKEN": "secret"})
    assert world.exit_code() == 0
    world.until(lambda: world.window.master < 0)
    found = json.loads(world.window.text)
    assert set(found) == {"BRIDGE_URL", "BRIDGE_TOKEN_FILE", "BRIDGE_AGENT_ID", "BRIDGE_SESSION_ID"}


def test_a_terminal_that_answers_no_question_is_waited_for_only_shortly(world: World) -> None:
    agent(world, answers=False)
    assert world.injected("wake-1", "hello")["result"] == "accepted"


def test_what_a_human_types_at_the_very_start_is_not_lost(world: World) -> None:
    world.start(program("line.py", str(world.directory / "got")))
    world.window.type(b"early line\r")
    world.until(lambda: world.lines() == ["early line"])


def test_the_background_children_of_the_agent_outlive_it(world: World) -> None:
    mark = world.directory / "mark"
    world.start(["/bin/sh", "-c", f"(sleep 1; echo alive > {mark}) </dev/null >/dev/null 2>&1 & exit 0"])
    assert world.exit_code() == 0
    assert not mark.exists()
    world.until(mark.exists)
