"""`bridge attach`: a real tmux with a server of its own, a real wrapper, and a host that speaks the contract."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terminal.tmux_world import TmuxWorld
from tests.terminal.world import program

pytestmark = pytest.mark.needs("tmux")


@pytest.fixture
def world() -> Iterator[TmuxWorld]:
    with tempfile.TemporaryDirectory(prefix="wbt-", dir="/tmp") as directory:
        made = TmuxWorld(Path(directory))
        yield made
        made.close()


def test_a_line_is_typed_into_the_pane_and_seen_to_be_taken(world: TmuxWorld) -> None:
    world.line_agent().serve().ready()
    answer = world.injected("wake-1", "hello; $x '\" #{pane_id} `id`")
    assert (answer["result"], answer["enters"], answer["by"]) == ("accepted", 1, "screen")
    world.until(lambda: world.lines() == ["hello; $x '\" #{pane_id} `id`"])
    registration = world.host.registrations[0]
    assert (registration["runtime"], registration["preset"]) == ("tmux", "line")
    assert registration["agent_pid"] == int(
        world.tmux("display-message", "-p", "-t", world.pane_id, "#{pane_pid}")
    )


def test_a_long_line_is_recognised_in_a_narrow_pane_and_after_a_resize(world: TmuxWorld) -> None:
    world.line_agent(size=(24, 12)).serve().ready()
    text = "one line that is longer than the window is wide, and then some more"
    assert world.injected("wake-1", text)["result"] == "accepted"
    world.tmux("resize-window", "-t", "s", "-x", "50", "-y", "9")
    assert world.injected("wake-2", text)["result"] == "accepted"
    world.until(lambda: world.lines() == [text, text])


def test_a_draft_is_left_alone(world: TmuxWorld) -> None:
    human = world.line_agent().serve().ready().human()
    human.type(b"half a thought")
    world.until(lambda: world.status()["screen"] == "draft")
    answer = world.injected("wake-1", "hello", quiet_s=0.0, wait_s=0.5)
    assert (answer["result"], answer["why"], answer["enters"]) == ("not_touched", "draft", 0)
    assert world.lines() == []


def test_a_human_who_typed_just_now_is_waited_for(world: TmuxWorld) -> None:
    human = world.line_agent().serve().ready().human()
    world.until(lambda: (world.status()["human_idle_s"] or 0.0) >= 2.0)
    human.type(b"x\x15")
    world.until(lambda: "human" in world.host.events())
    answer = world.injected("wake-1", "hello", quiet_s=30.0, wait_s=0.5)
    assert (answer["result"], answer["why"]) == ("not_touched", "human")


def test_nobody_is_there_when_nobody_is_attached(world: TmuxWorld) -> None:
    world.line_agent().serve().ready()
    assert world.status()["human_idle_s"] is None


def test_who_only_reads_is_nobody_and_neither_is_who_looks_at_another_pane(world: TmuxWorld) -> None:
    world.line_agent().serve().ready()
    world.human("-r").type(b"x")
    world.tmux("new-session", "-d", "-s", "other", "cat")
    world.human(session="other").type(b"x")
    world.until(lambda: "x" in world.tmux("capture-pane", "-p", "-t", "other"))
    assert world.status()["human_idle_s"] is None
    assert world.injected("wake-1", "hello", quiet_s=30.0)["result"] == "accepted"
    world.until(lambda: world.lines() == ["hello"])


def test_copy_mode_is_not_typed_into(world: TmuxWorld) -> None:
    world.line_agent().serve().ready()
    world.tmux("copy-mode", "-t", world.pane_id)
    answer = world.injected("wake-1", "hello", wait_s=0.5, force=True)
    assert (answer["result"], answer["why"]) == ("not_touched", "human")
    world.tmux("send-keys", "-X", "-t", world.pane_id, "cancel")
    assert world.injected("wake-2", "later")["result"] == "accepted"
    world.until(lambda: world.lines() == ["later"])


def test_a_pane_that_takes_no_input_is_not_typed_into(world: TmuxWorld) -> None:
    world.line_agent().serve().ready()
    world.tmux("select-pane", "-d", "-t", world.pane_id)
    answer = world.injected("wake-1", "hello", wait_s=0.5)
    assert (answer["result"], answer["why"]) == ("not_touched", "stopped")


def test_a_password_prompt_is_a_dialog(world: TmuxWorld) -> None:
    world.pane(*program("secret.py", str(world.directory / "got")))
    world.serve().ready()
    assert world.injected("wake-1", "hello")["result"] == "accepted"
    answer = world.injected("wake-2", "my secret", wait_s=1.0, force=True)
    assert (answer["result"], answer["why"]) == ("not_touched", "dialog")
    assert world.lines() == ["hello"]


def test_a_shell_where_the_agent_was_is_offline_and_never_typed_into(world: TmuxWorld) -> None:
    world.pane("/bin/bash", "--norc", "--noprofile", "-i")
    agent = " ".join(program("line.py", str(world.directory / "got")))
    world.tmux("send-keys", "-t", world.pane_id, "-l", agent)
    world.tmux("send-keys", "-t", world.pane_id, "Enter")
    world.until(lambda: world.picture().rstrip().endswith(">"))
    world.serve("--program", "line.py").ready()
    world.tmux("send-keys", "-t", world.pane_id, "x")
    world.until(lambda: world.status()["screen"] == "draft")
    number = world.host.inject("wake-1", "rm -rf everything", quiet_s=0.0, wait_s=20.0, deadline_s=20.0)
    world.tmux("send-keys", "-t", world.pane_id, "C-u", "C-d")
    world.until(lambda: world.host.ended)
    answer = world.host.answer(number)
    assert answer is not None
    assert (answer["result"], answer["why"]) == ("not_touched", "stopped")
    world.until(lambda: world.lines("heartbeats")[-1] == "session-1 tmux False offline")
    assert "rm -rf" not in world.picture()
    world.tmux("send-keys", "-t", world.pane_id, "-l", agent)
    world.tmux("send-keys", "-t", world.pane_id, "Enter")
    world.until(lambda: len(world.host.registrations) == 2)
    world.until(lambda: world.status()["screen"] == "empty")
    assert world.injected("wake-2", "back again")["result"] == "accepted"
    world.until(lambda: world.lines() == ["back again"])


def test_an_agent_sent_to_the_background_is_not_typed_for(world: TmuxWorld) -> None:
    world.pane("/bin/bash", "--norc", "--noprofile", "-i")
    world.tmux(
        "send-keys", "-t", world.pane_id, "-l", " ".join(program("line.py", str(world.directory / "got")))
    )
    world.tmux("send-keys", "-t", world.pane_id, "Enter")
    world.until(lambda: world.picture().rstrip().endswith(">"))
    world.serve("--program", "line.py").ready()
    world.tmux("send-keys", "-t", world.pane_id, "C-z")
    world.until(lambda: world.status()["stopped"])
    answer = world.injected("wake-1", "rm -rf everything", wait_s=0.5, force=True)
    assert (answer["result"], answer["why"]) == ("not_touched", "stopped")
    assert "rm -rf" not in world.picture()


@pytest.mark.parametrize(
    ("way", "said"),
    [
        (("kill-pane",), "can't find pane"),
        (("kill-server",), ""),
        (("respawn-pane", "-k", "cat"), "another process"),
    ],
)
def test_the_wrapper_ends_with_its_pane(world: TmuxWorld, way: tuple[str, ...], said: str) -> None:
    world.line_agent().serve().ready()
    world.tmux("new-session", "-d", "-s", "other", "cat")
    world.tmux(way[0], *(() if way[0] == "kill-server" else ("-t", world.pane_id)), *way[1:])
    assert world.exit_code() == 0
    world.until(lambda: world.host.ended)
    assert said in world.said()
    assert world.lines("heartbeats")[-1] == "session-1 tmux False offline"
    assert list((world.directory / "private").iterdir()) == []


def test_a_dead_pane_that_stays_on_the_screen_is_the_end(world: TmuxWorld) -> None:
    world.line_agent().serve().ready()
    world.tmux("set-option", "-p", "-t", world.pane_id, "remain-on-exit", "on")
    world.tmux("send-keys", "-t", world.pane_id, "C-d")
    assert world.exit_code() == 0
    assert "has ended" in world.said()


def test_a_wake_for_a_server_that_stands_still_touches_nothing(world: TmuxWorld) -> None:
    world.line_agent().serve().ready()
    server = int(world.tmux("display-message", "-p", "#{pid}"))
    os.kill(server, signal.SIGSTOP)
    try:
        answer = world.injected("wake-1", "hello", wait_s=1.0, deadline_s=4.0)
        assert answer["result"] == "not_touched"
    finally:
        os.kill(server, signal.SIGCONT)
    assert world.injected("wake-2", "later")["result"] == "accepted"
    world.until(lambda: world.lines() == ["later"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_told_to_go_it_leaves_everything_as_it_was(world: TmuxWorld, number: int) -> None:
    world.line_agent()
    before = world.options()
    human = world.serve().ready().human()
    assert world.injected("wake-1", "hello", quiet_s=0.0)["result"] == "accepted"
    assert world.options() != before
    os.kill(world.window.pid, number)
    assert world.exit_code() == 0
    assert world.options() == before
    assert world.tmux("list-buffers") == ""
    human.type(b"still here\r")
    world.until(lambda: world.lines() == ["hello", "still here"])
    assert list((world.directory / "private").iterdir()) == []


def test_a_humans_own_options_come_back(world: TmuxWorld) -> None:
    world.line_agent()
    for name, value in (
        ("key-table", "root"),
        ("assume-paste-time", "7"),
        ("status-right", 'mine "#H" $x %H'),
    ):
        world.tmux("set-option", "-t", "s", name, value)
    before = world.options()
    world.serve().ready().human()
    assert world.injected("wake-1", "hello", quiet_s=0.0)["result"] == "accepted"
    os.kill(world.window.pid, signal.SIGTERM)
    assert world.exit_code() == 0
    assert world.options() == before


def test_a_program_is_started_in_a_session_of_its_own_with_who_it_is(world: TmuxWorld) -> None:
    script = "env; echo ready; exec cat"
    world.serve(command=("/bin/sh", "-c", script))
    world.until(lambda: "ready" in world.tmux("capture-pane", "-p", "-S", "-", "-t", "bridge-reviewer"))
    shown = world.tmux("capture-pane", "-p", "-J", "-S", "-", "-t", "bridge-reviewer").splitlines()
    variables = dict(line.partition("=")[::2] for line in shown)
    token_file = Path(variables["BRIDGE_TOKEN_FILE"])
    assert token_file.read_text() == "token-1"
    assert variables["BRIDGE_AGENT_ID"] == "reviewer"
    assert variables["BRIDGE_SESSION_ID"] == "session-1"
    assert "TMUX_PANE" in variables
    assert [path.name for path in token_file.parent.iterdir()] == [token_file.name]
    world.until(lambda: "attach -t bridge-reviewer" in world.said())
    os.kill(world.window.pid, signal.SIGTERM)
    assert world.exit_code() == 0
    assert "bridge-reviewer" in world.tmux("list-sessions")


def test_the_end_of_the_program_it_started_is_its_own(world: TmuxWorld) -> None:
    world.serve(command=tuple(program("line.py", str(world.directory / "got")))).ready()
    answer = world.injected("wake-1", "exit 3")
    # Its last picture went with the pane: nobody can say more than that Enter was pressed.
    assert (answer["result"], answer["why"], answer["enters"]) == ("unverified", "stopped", 1)
    assert world.exit_code() == 0
    assert world.tmux("list-sessions") == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--pane", "%99"), "can't find pane: %99"),
        (("--pane", "s:0.0"), "is no pane's id"),
        (("--pane", "%0", "--program", "codex"), "codex does not run in %0"),
    ],
)
def test_a_pane_that_is_not_the_agents_is_refused(
    world: TmuxWorld, options: tuple[str, ...], said: str
) -> None:
    world.line_agent().serve(*options)
    assert world.exit_code() == 1
    world.until(lambda: said in world.said())
    assert world.host.registrations == []


@pytest.mark.parametrize("command", [("sh",), ("bash", "--norc", "-i")])
def test_a_shell_that_waits_for_commands_is_no_agent(world: TmuxWorld, command: tuple[str, ...]) -> None:
    """A pane whose number was mistaken, or whose agent does not run yet: a shell's prompt is a prompt too."""
    world.pane("env", "PS1=$ ", *command)
    world.until(lambda: world.shows("$"))
    world.serve()
    assert world.exit_code() == 1
    world.until(lambda: "a shell is in" in world.said())
    assert world.host.registrations == []


def test_the_status_line_says_what_waits(world: TmuxWorld) -> None:
    human = world.line_agent().serve().ready().human()
    world.host.send({"op": "waiting", "wakes": 2, "why": "a human typed #[bg=red] 50%", "again_in_s": 9.0})
    world.until(lambda: "2 wakes wait: you typed [bg=red] 50" in human.text)
    world.host.send({"op": "waiting", "wakes": 0, "why": "", "again_in_s": 0.0})
    world.until(lambda: "wakes wait" not in human.text)


def test_who_asks_in_the_moment_the_agent_leaves_is_told_that_nothing_was_touched(world: TmuxWorld) -> None:
    world.line_agent().serve().ready()
    world.tmux("new-session", "-d", "-s", "other", "cat")
    world.tmux("kill-pane", "-t", world.pane_id)
    answer = world.injected("wake-1", "hello")
    assert (answer["result"], answer["why"]) == ("not_touched", "stopped")
    assert world.exit_code() == 0
