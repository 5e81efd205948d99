"""Search over HTTP, and `bridge search`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from bridge.cli.app import run
from bridge.client import Client, FixedToken
from bridge.config import Settings
from bridge.core.states import Role
from tests.support.postgres import Owner
from tests.support.web import Api, Mint, gunicorn

Apis = Callable[..., Api]


def thread_of(api: Apis, *agents: str) -> str:
    people = [{"agent_id": name} for name in agents]
    made = api("boss", Role.OPERATOR).post("/v1/threads", {"title": "Nightly", "participants": people}).json
    assert made is not None
    return str(made["thread_id"])


def test_messages_are_found_page_by_page(api: Apis) -> None:
    thread_id = thread_of(api, "alice", "bob")
    for n in range(3):
        api("alice").post(f"/v1/threads/{thread_id}/messages", {"body": f"the build is broken {n}"})
    page = api("bob").get("/v1/search", q="broken build", limit=2).json
    assert page is not None
    first = page["items"][0]
    assert (first["seq"], first["thread_id"], first["title"], first["snippet"]) == (
        3,
        thread_id,
        "Nightly",
        "the build is broken 2",
    )
    assert first["marks"] == [[4, 9], [13, 19]]
    rest = api("bob").get("/v1/search", q="broken build", limit=2, cursor=page["next_cursor"]).json
    assert rest is not None
    assert [item["seq"] for item in [*page["items"], *rest["items"]]] == [3, 2, 1]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"q": ""},
        {"q": "x" * 501},
        {"q": "-x"},
        {"q": "x", "kind": "shout"},
        {"q": "x", "since": "yesterday"},
        {"q": "x", "since": "2026-01-01T00:00:00"},
        {"q": "x", "thread": "'; --"},
        {"q": "x", "cursor": "nonsense"},
        {"q": "x", "rank": "1"},
    ],
)
def test_what_cannot_be_asked_is_refused(api: Apis, query: dict[str, str]) -> None:
    answer = api("alice").get("/v1/search", **query)
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "q", ["a & | ! <-> b", "'", "a:*", "w=ws_1", "\\", "(((", "a <2> b", '"""', "or or", "a\u202e", "ü or 大"]
)
def test_no_query_is_too_strange(api: Apis, q: str) -> None:
    assert api("alice").get("/v1/search", q=q).status_code in (200, 400)


@pytest.fixture
def web(settings: Settings, owner: Owner) -> Iterator[httpx.Client]:
    owner.run("INSERT INTO workspaces VALUES ('ws_1', bridge_now()) ON CONFLICT DO NOTHING")
    with gunicorn(settings) as client:
        yield client


def test_the_command_shows_what_was_found_harmlessly(
    web: httpx.Client,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mint, url = Mint(settings), str(web.base_url)
    with Client(url, FixedToken(mint.token("chief", Role.COORDINATOR))) as chief:
        people = [{"agent_id": "alice"}, {"agent_id": "bob"}]
        thread_id = chief.create_thread("Nightly \u202eyl", people)["thread_id"]
    with Client(url, FixedToken(mint.token("alice"))) as alice:
        alice.post(thread_id, "a needle\x1b[2J\u202e and hay")
    monkeypatch.setenv("BRIDGE_TOKEN", mint.token("bob"))
    assert run(["search", "needle", "--url", url]) == 0
    said = capsys.readouterr().out
    assert thread_id in said
    assert "needle<U+001B>[2J<U+202E> and hay" in said
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert run(["search", "needle", "--json", "--url", url, "--kind", "chat", "--sender", "alice"]) == 0
    assert [item["seq"] for item in json.loads(capsys.readouterr().out)["items"]] == [1]
    assert run(["search", "hay -needle", "--url", url]) == 0
    assert capsys.readouterr().out == "nothing found\n"
