"""`bridge audit` and `bridge redact` as an operator types them, against the web as it is run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from bridge.cli.app import run
from bridge.client import Client, FixedToken
from bridge.commands.anchor_heads import anchor_heads
from bridge.config import Settings
from bridge.core.states import Role
from bridge.db.deps import Deps
from tests.support.postgres import Owner
from tests.support.web import Mint, gunicorn

Bridge = Callable[..., tuple[int, str, str]]


@pytest.fixture
def web(settings: Settings, owner: Owner) -> Iterator[httpx.Client]:
    owner.run("INSERT INTO workspaces VALUES ('default', bridge_now()) ON CONFLICT DO NOTHING")
    with gunicorn(settings) as client:
        yield client


@pytest.fixture
def bridge(
    web: httpx.Client, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Bridge:
    """`bridge("audit", "verify")`: exit code, what was printed, and what was said on standard error."""
    path = tmp_path / "operator.token"
    path.write_text(Mint(settings).token("olivia", Role.OPERATOR, workspace="default"))

    def call(*words: str) -> tuple[int, str, str]:
        code = run([*words, "--url", str(web.base_url), "--token-file", str(path)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def thread(web: httpx.Client, settings: Settings) -> str:
    mint = Mint(settings)
    token = mint.token("olivia", Role.OPERATOR, workspace="default")
    with Client(str(web.base_url), FixedToken(token)) as client:
        thread_id = str(client.create_thread("t", [{"agent_id": "olivia"}, {"agent_id": "bob"}])["thread_id"])
        for body in ("the key is hunter2", "oh", "yes"):
            client.post(thread_id, body)
    return thread_id


def test_the_howto_from_end_to_end(
    bridge: Bridge, thread: str, tmp_path: Path, owner: Owner, deps: Deps
) -> None:
    code, out, _ = bridge("audit", "list", "--resource-type", "thread", "--resource-id", thread)
    assert code == 0
    assert "thread.created" in out
    assert "olivia" in out

    code, out, _ = bridge("redact", "--thread-id", thread, "--seq", "1", "--reason", "a key")
    assert code == 0
    assert "change the secret" in out
    assert "[redacted by olivia]" in bridge("read", thread)[1]
    assert "hunter2" not in bridge("read", thread)[1]
    assert "[redacted by olivia]" in bridge("inspect-thread", "--thread-id", thread)[1]

    anchor_heads(deps, "default")
    code, out, err = bridge("audit", "verify")
    assert (code, err) == (0, ""), out
    assert out.startswith("verified: ")

    kept = tmp_path / "heads.jsonl"
    assert bridge("audit", "export", "--out", str(kept))[0] == 0
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert lines[0]["export"] == "wakebridge audit"
    assert {"messages", "anchors", "thread"} <= {line["resource_type"] for line in lines[1:]}
    code, _, err = bridge("audit", "export", "--out", str(kept))
    assert code == 1
    assert "never written over" in err
    assert bridge("audit", "verify", "--against", str(kept))[0] == 0
    printed = bridge("audit", "export")[1].splitlines()
    assert printed[1:] == kept.read_text().splitlines()[1:]

    owner.run("DELETE FROM messages WHERE thread_id = :t AND seq = 2", t=thread)
    code, out, _ = bridge("audit", "verify", "--json")
    found = json.loads(out)
    assert (code, found["verified"]) == (1, False)
    assert (found["items"][0]["resource_id"], found["items"][0]["n"]) == (thread, 2)
    code, out, _ = bridge("audit", "verify")
    assert code == 1
    assert f"messages {thread} #2: missing: 2" in out


@pytest.mark.parametrize("text", ["", "not json\n", '["a"]\n', '{"resource_type": "wake"}\n'])
def test_a_file_that_is_no_export_is_refused_in_one_line(bridge: Bridge, tmp_path: Path, text: str) -> None:
    given = tmp_path / "given"
    given.write_text(text)
    code, _, err = bridge("audit", "verify", "--against", str(given))
    assert code == 1
    assert len(err.splitlines()) == 1
    assert bridge("audit", "verify", "--against", str(tmp_path / "nowhere"))[0] == 1
