"""`bridge thread create` against the web as it is run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from bridge.cli.app import run
from bridge.client import Client, FixedToken
from bridge.config import Settings
from bridge.core.states import Role
from tests.support.postgres import Owner
from tests.support.web import Mint, gunicorn

Bridge = Callable[..., tuple[int, str, str]]


@pytest.fixture
def web(settings: Settings, owner: Owner) -> Iterator[httpx.Client]:
    owner.run("INSERT INTO workspaces VALUES ('ws_1', bridge_now()) ON CONFLICT DO NOTHING")
    with gunicorn(settings) as client:
        yield client


@pytest.fixture
def bridge(
    web: httpx.Client, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Bridge:
    """`bridge("thread", ...)` as an operator: exit code, what was printed, what was said on standard error."""
    path = tmp_path / "olivia.token"
    path.write_text(Mint(settings).token("olivia", Role.OPERATOR))

    def call(*words: str) -> tuple[int, str, str]:
        code = run([*words, "--url", str(web.base_url), "--token-file", str(path)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_the_first_agent_is_woken_with_what_it_is_to_do(
    bridge: Bridge, web: httpx.Client, settings: Settings
) -> None:
    code, out, _ = bridge(
        *("thread", "create", "Review", "--with", "alice", "--with", "bob", "--say", "ask bob", "--json")
    )
    answer = json.loads(out)
    assert code == 0
    with Client(str(web.base_url), FixedToken(Mint(settings).token("alice"))) as alice:
        thread = alice.thread(answer["thread_id"])
        said = alice.read(answer["thread_id"])["items"]
        wake = alice.wake(answer["wake_id"])
    assert [one["agent_id"] for one in thread["participants"]] == ["alice", "bob"]
    assert [one["body"] for one in said] == ["ask bob"]
    assert wake["agent_id"] == "alice"


def test_the_id_alone_is_printed_and_without_a_word_nobody_is_woken(bridge: Bridge) -> None:
    code, out, err = bridge("thread", "create", "Review", "--with", "alice", "--with", "bob")
    assert code == 0
    assert re.fullmatch(r"th_[0-9a-f]{32}\n", out)
    assert err == "created, with alice, bob\n"


def test_what_is_no_thread_is_refused(bridge: Bridge) -> None:
    code, _, err = bridge("thread", "create", "Review", "--with", "no name")
    assert code == 1
    assert "INVALID_ARGUMENT" in err
