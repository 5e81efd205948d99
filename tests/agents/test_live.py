"""Real agents at their own terminals: woken there, and once that is closed, resumed in the same conversation."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from bridge.core.states import WakeState
from tests.agents.world import WOKEN, World
from tests.live.terminal import Terminal
from tests.stack.running import until

READY_S = 60.0
BRIDGE = ("inbox", "read", "post")


class Client(NamedTuple):
    """How its user starts it, and what its empty input line begins with."""

    command: tuple[str, ...]
    ready: re.Pattern[str]


CLIENTS = {
    "codex": Client(
        (
            *("codex", "-s", "workspace-write", "-a", "never"),
            *("-c", "sandbox_workspace_write.network_access=true"),
        ),
        re.compile("^\u203a ", re.MULTILINE),
    ),
    "claude": Client(
        ("claude", "--allowedTools", *(f"Bash(bridge {word}:*)" for word in BRIDGE)),
        re.compile("^\u276f", re.MULTILINE),
    ),
}


@contextmanager
def at_its_terminal(world: World, client: str, runtime: str, agent: str) -> Iterator[Terminal]:
    """The client runs in a terminal that the bridge knows, and waits for its user."""
    words, ready = CLIENTS[client]
    socket = str(world.folder / f"{agent}.tmux")
    how = ["run"] if runtime == "run" else ["attach", "--tmux-socket", socket]
    argv = ["bridge", *how, "--agent", agent, "--data", str(world.folder / "data"), "--", *words]
    terminal = Terminal(argv, world.home.environment(), str(world.home.work))
    tmux = ["tmux", "-S", socket]
    try:
        if runtime == "run":
            assert terminal.until(lambda text: bool(ready.search(text)), READY_S), terminal.text()
        else:
            shown = [*tmux, "capture-pane", "-p"]
            until(lambda: ready.search(said(shown)), f"its prompt: {terminal.text()}")
        until(lambda: attached(world, agent), f"{agent} at the bridge: {terminal.text()}")
        yield terminal
    finally:
        if runtime == "tmux":
            subprocess.run([*tmux, "kill-server"], check=False, capture_output=True)
        terminal.close()


def said(argv: list[str]) -> str:
    """What the command says; nothing where it fails."""
    return subprocess.run(argv, check=False, capture_output=True, text=True).stdout


def attached(world: World, agent: str) -> bool:
    """Whether a terminal of the bridge holds its seat."""
    agents = world.operator.agents()["items"]
    return any(one["agent_id"] == agent and one["seat_attached"] for one in agents)


@pytest.mark.needs("tmux")
@pytest.mark.parametrize("runtime", ["run", "tmux"])
@pytest.mark.parametrize("client", CLIENTS)
def test_woken_at_its_terminal_and_resumed_when_that_is_closed(
    world: World, client: str, runtime: str
) -> None:
    agent = f"{client}-in-{runtime}"
    thread = world.thread(agent)
    world.reads_and_answers("read at my terminal")
    with at_its_terminal(world, client, runtime, agent):
        world.ci.post(thread, "first: keep the number 4711", to=[agent])
        wake = world.ended(thread, agent)
        assert wake["state"] == WakeState.ACKED, world.told(thread, agent)
        story = world.operator.explain(wake["wake_id"])
        assert [attempt["rung"] for attempt in story["attempts"]] == ["live"]
        until(lambda: world.messages(thread, agent), "its answer")
        until(lambda: "answered." in str(world.woken_with()[-1].answer), "the end of its turn")
    until(lambda: not attached(world, agent), "the end of its terminal")

    world.reads_and_answers("read where nobody sits")
    world.ci.post(thread, "second: which number was it?", to=[agent])
    wake = world.ended(thread, agent)
    assert wake["state"] == WakeState.ACKED, world.told(thread, agent)
    (run,) = world.operator.runs(agent=agent)["items"]
    assert run["rung"] == "resume"
    until(lambda: len(world.messages(thread, agent)) == 2, "its second answer")
    last = world.woken_with()[-1]
    assert len([text for text in last.said("user") if re.search(WOKEN, text)]) == 2
    assert any("4711" in text for text in last.said("output"))
