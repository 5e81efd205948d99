"""`bridge summary`, and the line that a prompt gives an agent to paste, against the web as it is run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from bridge.cli.app import run
from bridge.client import Client, FixedToken
from bridge.config import Settings
from bridge.core.prompt import OfferedThread, Woken, compose
from bridge.core.states import Role, Rung
from tests.support.postgres import Owner
from tests.support.web import Mint, gunicorn

Bridge = Callable[..., tuple[int, str, str]]


@pytest.fixture
def web(settings: Settings, owner: Owner) -> Iterator[httpx.Client]:
    owner.run("INSERT INTO workspaces VALUES ('ws_1', bridge_now()) ON CONFLICT DO NOTHING")
    with gunicorn(settings) as client:
        yield client


@pytest.fixture
def thread(web: httpx.Client, settings: Settings) -> str:
    """A thread in which alice asked bob twice."""
    mint = Mint(settings)
    with Client(str(web.base_url), FixedToken(mint.token("chief", Role.COORDINATOR))) as chief:
        people = [{"agent_id": "alice"}, {"agent_id": "bob"}]
        thread_id = str(chief.create_thread("Review \u202eweiver", people)["thread_id"])
    with Client(str(web.base_url), FixedToken(mint.token("alice"))) as alice:
        for text in ("which plan?", "\x1b[2Jand when?"):
            alice.post(thread_id, text, to=["bob"])
    return thread_id


@pytest.fixture
def bridge(
    web: httpx.Client, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Bridge:
    """`bridge("summary", ...)` as bob: exit code, what was printed, and what was said on standard error."""
    path = tmp_path / "bob.token"
    path.write_text(Mint(settings).token("bob"))

    def call(*words: str) -> tuple[int, str, str]:
        code = run([*words, "--url", str(web.base_url), "--token-file", str(path)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_the_summary_is_printed_for_a_person_and_for_a_program(bridge: Bridge, thread: str) -> None:
    code, out, _ = bridge("summary", thread)
    assert code == 0
    assert "> Review <U+202E>weiver\n" in out
    assert "2 alice, waits for bob\n> <U+001B>[2Jand when?\n" in out
    code, out, _ = bridge("summary", thread, "--max-messages", "1", "--json")
    assert [one["seq"] for one in json.loads(out)["key_messages"]] == [2]
    code, _, err = bridge("summary", "th_nowhere")
    assert (code, err.count("\n")) == (1, 1)


def test_the_line_a_prompt_gives_to_paste_ends_the_wake(
    bridge: Bridge, thread: str, web: httpx.Client, settings: Settings
) -> None:
    offered = OfferedThread(thread, None, last_read_seq=0, read_to=2, unread=2, first=1, last=2)
    prompt = compose(Woken("bob", "ses_bob", Rung.RESUME, (offered,)), 16_384)
    (line,) = [line for line in prompt.splitlines() if line.startswith("bridge read th_")]
    code, _, _ = bridge(*shlex.split(line, comments=True)[1:])
    assert code == 0
    with Client(str(web.base_url), FixedToken(Mint(settings).token("bob"))) as bob:
        assert bob.inbox()["unread"] == 0
        assert [wake["state"] for wake in bob.wakes(thread=thread)["items"]] == ["already_active"]
