"""`bridge policy` as an SRE types it, against the web as it is run; and the how-to, as it is written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import httpx
import pytest

from bridge.cli.app import run
from bridge.config import Settings, inherited_environment
from bridge.core.states import Role
from tests.support.postgres import Owner
from tests.support.web import ROOT, Mint, gunicorn

Bridge = Callable[..., tuple[int, str, str]]


@pytest.fixture
def web(settings: Settings, owner: Owner) -> Iterator[httpx.Client]:
    owner.run("INSERT INTO workspaces VALUES ('default', bridge_now()) ON CONFLICT DO NOTHING")
    with gunicorn(settings) as client:
        yield client


@pytest.fixture
def token_file(settings: Settings, tmp_path: Path) -> Path:
    path = tmp_path / "operator.token"
    path.write_text(Mint(settings).token("operator", Role.OPERATOR, workspace="default"))
    return path


@pytest.fixture
def bridge(web: httpx.Client, token_file: Path, capsys: pytest.CaptureFixture[str]) -> Bridge:
    """`bridge("policy", "show")`: exit code, what was printed, and what was said on standard error."""

    def call(*words: str) -> tuple[int, str, str]:
        code = run([*words, "--url", str(web.base_url), "--token-file", str(token_file)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_numbers_are_set_shown_unset_and_told_of(bridge: Bridge, tmp_path: Path) -> None:
    assert "workspace sets nothing (version 0)" in bridge("policy", "show")[1]
    words = ("resume.tries=1", "live.accept_timeout_s=4", "hosts=b,c", "spawn_beside_live=yes")
    code, out, _ = bridge("policy", "set", *words, "--reason", "calmer nights")
    assert code == 0
    assert "workspace, version 1, in force everywhere within a second" in out
    assert re.search(r"resume\.tries +1 +\(workspace\)", out)
    table = bridge("policy", "show")[1]
    assert "by operator" in table
    assert "calmer nights" in table
    assert re.search(r"^live\.accept_timeout_s +4 +workspace +8$", table, re.MULTILINE)
    assert re.search(r"^live\.read_timeout_s +120 +built-in$", table, re.MULTILINE)
    assert re.search(r"^hosts +b,c +workspace +-$", table, re.MULTILINE)
    assert re.search(r"^spawn_beside_live +true +workspace +false$", table, re.MULTILINE)
    file = tmp_path / "night.toml"
    file.write_text("lease_s = 30\n[live]\ntries = 1\n")
    more = ("--file", str(file), "live.tries=2", "--unset", "hosts", "--unset", "resume")
    assert bridge("policy", "set", *more, "--reason", "more", "--expected-version", "1")[0] == 0
    now = json.loads(bridge("policy", "show", "--json")[1])
    assert now["set"] == {
        "lease_s": 30,
        "live": {"tries": 2, "accept_timeout_s": 4},
        "spawn_beside_live": True,
    }
    told = bridge("policy", "history")[1]
    assert told.index("version 2") < told.index("version 1")
    assert "    resume.tries: 1 -> not set" in told
    assert "    live.tries: not set -> 2" in told
    assert [item["version"] for item in json.loads(bridge("policy", "history", "--json")[1])["items"]] == [
        2,
        1,
    ]
    assert "nothing changed" in bridge("policy", "set", "lease_s=30", "--reason", "x")[1]
    bridge("policy", "set", "recheck_s=7", "--replace", "--reason", "x")
    assert json.loads(bridge("policy", "show", "--json")[1])["set"] == {"recheck_s": 7}
    assert "default was never changed" in bridge("policy", "history", "--scope", "default")[1]


WRONG = [
    (("resme.tries=1",), 1, "did you mean resume"),
    (("live.trys=1",), 1, "did you mean live.tries?"),
    (("live.tries=90",), 1, "the ladder can take"),
    (("lease_s=45s",), 1, "lease_s is a plain number, not '45s': its unit is in its name"),
    (("lease_s=NaN",), 1, "a number"),
    (("lease_s=1e400",), 1, "a number"),
    (("spawn_beside_live=1",), 1, "spawn_beside_live is true or false, not '1'"),
    (("hosts=Not A Host",), 1, "names of hosts"),
    (("lease_s",), 1, "write live.tries=2"),
    (("live=3", "live.tries=2"), 1, "name one of them"),
    (("--file", "/nowhere/policy.json"), 1, "holds no policy"),
    (("lease_s=30", "--expected-version", "7"), 1, "at version 0, not 7"),
    (("lease_s=30", "--scope", "agent:bob"), 1, "comes later: use workspace"),
    (("lease_s=30", "--scope", "a/../b"), 1, "NOT_FOUND"),
    ((), 2, "nothing to set"),
]


def test_what_is_wrong_is_said_with_what_to_do(bridge: Bridge) -> None:
    for words, code, says in WRONG:
        found, _, told = bridge("policy", "set", *words, "--reason", "x")
        assert (found, says in told, "Traceback" in told) == (code, True, False), (words, told)
    assert json.loads(bridge("policy", "show", "--json")[1])["version"] == 0
    found, _, told = bridge("policy", "set", "lease_s=1", "--reason", "x", "--json")
    assert (found, json.loads(told)["error"]["code"]) == (1, "INVALID_ARGUMENT")


def test_a_change_is_soon_in_force_in_every_process_of_the_web(
    bridge: Bridge, web: httpx.Client, settings: Settings
) -> None:
    """Two workers answer; the change reaches one of them as a request, the other one by itself."""
    mint = Mint(settings)
    boss = {"Authorization": f"Bearer {mint.token('boss', Role.COORDINATOR, workspace='default')}"}
    alice = {"Authorization": f"Bearer {mint.token('alice', workspace='default')}"}
    people = [{"agent_id": name} for name in ("alice", "bob", "carol")]
    made = web.post("/v1/threads", json={"title": "x", "participants": people}, headers=boss)
    path = f"{web.base_url}/v1/threads/{made.json()['thread_id']}/messages"

    def post() -> int:
        return httpx.post(path, json={"body": "x"}, headers=alice, timeout=30).status_code

    assert {post() for _ in range(10)} == {httpx.codes.CREATED}
    assert bridge("policy", "set", "fan_out_max=1", "--reason", "try")[0] == 0
    deadline = monotonic() + 10
    refused = 0
    while refused < 30:
        refused = refused + 1 if post() == httpx.codes.BAD_REQUEST else 0
        assert monotonic() < deadline, "a worker goes on by the old numbers"


def test_the_how_to_is_tried_as_it_is_written(web: httpx.Client, token_file: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs/howto/tune-retries.md").read_text()
    script = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    assert script.count("bridge policy") >= 6
    environment = inherited_environment() | {
        "PATH": f"{Path(sys.executable).parent}:{inherited_environment()['PATH']}",
        "BRIDGE_URL": str(web.base_url),
        "BRIDGE_TOKEN_FILE": str(token_file),
        "OPERATOR": token_file.read_text(),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace("http://127.0.0.1:8765", str(web.base_url))],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for said in (
        "workspace sets nothing (version 0)",
        "in force everywhere within a second",
        "-> 1",
        "not set",
    ):
        assert said in done.stdout


def test_a_word_is_set_as_it_stands(bridge: Bridge) -> None:
    code, out, _ = bridge("policy", "set", "content_filter=refuse", "--reason", "no keys in threads")
    assert code == 0
    assert re.search(r"content_filter +refuse +\(workspace\)", out)
    code, _, err = bridge("policy", "set", "content_filter=on", "--reason", "x")
    assert (code, "content_filter must be off or redact or refuse" in err) == (1, True)
