"""docs/howto/two-agents.md, command by command as it is written, with the real programs and a scripted model."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest

from bridge.client import Client, StackOperator
from bridge.core.states import WAKE_FINAL
from bridge.stack.leftovers import end_leftovers
from tests.agents.dialects import Answer, Say, Shell, Turn
from tests.agents.homes import CLIENTS, Home, make_home, missing
from tests.agents.mock_model import MockModel
from tests.agents.offline import Offline, why_not
from tests.live.terminal import Terminal
from tests.stack.reader import Reader, blocks_of
from tests.stack.running import ROOT, until

PAGE = ROOT / "docs" / "howto" / "two-agents.md"
QUESTION, ANSWER = "Which Python does this project need?", "3.11 or newer."
COMMANDS_MAX = 9


def talk(said: Sequence[Turn]) -> Answer:
    """What whoever is woken does next: look, read, and say what is due."""
    at = max(number for number, turn in enumerate(said) if turn.kind == "user")
    outputs = [turn.text for turn in said[at:] if turn.kind == "output"]
    if not outputs:
        return Shell("bridge inbox")
    found = re.search(r"\bth_[0-9a-f]{32}\b", outputs[0])
    thread = found[0] if found else "no-thread"
    if len(outputs) == 1:
        return Shell(f"bridge read {thread} --ack")
    if len(outputs) > 2 or ANSWER in outputs[1]:
        return Say("That is done.")
    words, to = (ANSWER, "alice") if QUESTION in outputs[1] else (QUESTION, "bob")
    return Shell(f"bridge post {thread} '{words}' --to {to}")


class Newcomer:
    """Somebody who has the two programs, and has never heard of the bridge: a shell, and terminals."""

    def __init__(self, home: Home) -> None:
        node = Path(shutil.which("node") or "node").parent
        path = f"{CLIENTS / 'node_modules' / '.bin'}:{node}:{os.defpath}:/usr/sbin:/sbin"
        self._environment, self._work = home.environment(PATH=path), str(home.work)
        self._data = home.folder / ".local" / "share" / "wakebridge"
        self._shell = Reader(home.work)
        self._shell.environment = self._environment
        self.terminals: list[Terminal] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for agent in self.terminals[1:]:
            agent.close()
        for bridge in self.terminals[:1]:
            bridge.send(b"\x03")  # Ctrl-C, as the page says
            until(partial(_ended, bridge), "the end of the bridge")
            bridge.close()
        end_leftovers(self._data)

    def follow(self, terminal: str, words: str) -> str:
        """Type a block where it belongs, and wait as long as the page says."""
        if not terminal:
            return self._shell.type(words)
        self.terminals.append(Terminal(["bash", "-c", words], self._environment, self._work))
        if agent := re.search(r"--agent (\S+)", words):
            self.until(partial(self._attached, agent[1]), f"{agent[1]} in its terminal")
        else:
            self.until((self._data / "stack.json").exists, "the bridge")
        return ""

    def until(self, condition: Any, what: str) -> None:  # noqa: ANN401  any question
        """Ask until it is so. Shows the terminals where it never is."""

        def there() -> bool:
            assert all(terminal.alive for terminal in self.terminals), "a terminal's program has ended"
            return bool(condition())

        try:
            until(there, what)
        except AssertionError as late:
            shown = "\n=====\n".join(terminal.text() for terminal in self.terminals)
            raise AssertionError(f"{late}\n{self._all_wakes()}\n{shown}") from None

    def talked(self) -> bool:
        """Whether both have spoken, and every wake has been read."""
        wakes = self._all_wakes()
        with self._operator() as client:
            said = client.read(wakes[-1]["thread_id"])["items"]
        who = [message["sender_agent_id"] for message in said]
        return who[1:] == ["alice", "bob"] and all(wake["state"] == "acked" for wake in wakes)

    def failed(self) -> list[dict[str, Any]]:
        """The wakes that ended otherwise than read."""
        return [
            wake for wake in self._all_wakes() if wake["state"] in WAKE_FINAL and wake["state"] != "acked"
        ]

    def _all_wakes(self) -> list[dict[str, Any]]:
        if not (self._data / "stack.json").exists():
            return []
        with self._operator() as client:
            found: list[dict[str, Any]] = client.wakes()["items"]
        return found

    def _attached(self, agent: str) -> bool:
        with self._operator() as client:
            items = client.agents()["items"]
        return any(one["agent_id"] == agent and one["seat_attached"] for one in items)

    def _operator(self) -> Client:
        url = str(json.loads((self._data / "stack.json").read_text())["url"])
        return Client(url, StackOperator(self._data))


def _ended(terminal: Terminal) -> bool:
    return not terminal.alive


@pytest.fixture(name="newcomer")
def _newcomer() -> Iterator[Newcomer]:
    """In a fresh clone, in a network with only `lo`; the model is the only thing there."""
    refused = why_not() or missing()
    if refused:
        pytest.skip(refused)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wb2-", dir="/tmp")))
        network = Offline()
        stack.callback(network.close)
        stack.enter_context(network.inside())
        model = stack.enter_context(MockModel())
        model.rule("Wakebridge:", talk)
        home = make_home(folder, model.url)
        for path in ROOT.iterdir():
            if path.name != ".git":
                (home.work / path.name).symlink_to(path)
        yield stack.enter_context(Newcomer(home))


@pytest.mark.needs("make", "setsid")
def test_the_page_can_be_followed_word_by_word(newcomer: Newcomer) -> None:
    blocks = blocks_of(PAGE)
    lines = [line for _, words in blocks for line in words.replace("\\\n", "").splitlines()]
    assert len(lines) <= COMMANDS_MAX
    said = ""
    for terminal, words in blocks:
        if "inspect-thread" in words:
            newcomer.until(newcomer.talked, "the talk")
        said = newcomer.follow(terminal, words)
    assert newcomer.failed() == []
    assert QUESTION in said
    assert ANSWER in said
    assert all("Wakebridge: " in terminal.text() for terminal in newcomer.terminals[1:])
