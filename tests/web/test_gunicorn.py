"""The web as it is really run: two gunicorn workers under gevent, over real servers."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from time import monotonic
from typing import Any

import httpx
import pytest

from bridge.config import Settings, inherited_environment
from bridge.core.states import Role
from tests.support.postgres import Owner
from tests.support.web import ROOT, Mint, free_port, gunicorn


@pytest.fixture
def settings(database_url: str, broker_url: str) -> Iterator[Settings]:
    with TemporaryDirectory(prefix="wb-") as folder:  # a socket's path must be short
        yield Settings(
            data_dir=Path(folder), database_url=database_url, broker_url=broker_url, port=free_port()
        )


@pytest.fixture
def mint(settings: Settings) -> Mint:
    return Mint(settings)


@pytest.fixture
def served(owner: Owner) -> None:
    for workspace in ("default", "ws_1"):
        owner.run(
            "INSERT INTO workspaces VALUES (:workspace, bridge_now()) ON CONFLICT DO NOTHING",
            workspace=workspace,
        )


@pytest.fixture
def web(settings: Settings, served: None) -> Iterator[httpx.Client]:
    del served
    with gunicorn(settings) as client:
        yield client


def as_(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def thread_of(web: httpx.Client, mint: Mint, *agents: str) -> str:
    body = {"title": "x", "participants": [{"agent_id": agent} for agent in agents]}
    made = web.post("/v1/threads", json=body, headers=as_(mint.token("chief", Role.COORDINATOR)))
    assert made.status_code == httpx.codes.CREATED, made.text
    return str(made.json()["thread_id"])


def test_news_reaches_a_waiting_call_in_either_worker_and_none_waits_for_its_poll(
    web: httpx.Client, mint: Mint, owner: Owner
) -> None:
    thread_id = thread_of(web, mint, "alice", *(f"bob{number}" for number in range(12)))

    def wait(number: int) -> float:
        with httpx.Client(base_url=web.base_url, timeout=40) as client:
            answer = client.get("/v1/inbox", params={"wait_s": 20}, headers=as_(mint.token(f"bob{number}")))
            assert answer.json()["unread"] == 1, answer.text
            return monotonic()

    pause = Event()
    with ThreadPoolExecutor(12) as pool:
        waits = [pool.submit(wait, number) for number in range(12)]
        listening = "SELECT count(*) FROM agents WHERE listening_until > bridge_now()"
        deadline = monotonic() + 10
        while owner.value(listening) < len(waits):
            assert monotonic() < deadline, "they do not listen"
            pause.wait(0.05)
        posted_at = monotonic()
        web.post(
            f"/v1/threads/{thread_id}/messages", json={"body": "x"}, headers=as_(mint.token("alice"))
        ).raise_for_status()
        late = [done.result(30) - posted_at for done in waits]
    assert max(late) < 5, late  # not the ten seconds of the next look


def test_without_a_broker_posts_answer_and_waits_end_soon(
    settings: Settings, owner: Owner, served: None
) -> None:
    del served
    dead = settings.model_copy(update={"broker_url": "redis+socket:///nowhere/broker.sock"})
    mint = Mint(dead)
    with gunicorn(dead) as web:
        assert web.get("/ready").json()["broker"] == "degraded"
        thread_id = thread_of(web, mint, "alice", "bob")
        path = f"/v1/threads/{thread_id}/messages"
        with ThreadPoolExecutor(1) as pool:
            params = {"since_seq": 0, "wait_s": 20}
            waiting = pool.submit(web.get, path, params=params, headers=as_(mint.token("bob")))
            began = monotonic()
            web.post(path, json={"body": "x"}, headers=as_(mint.token("alice"))).raise_for_status()
            assert waiting.result(30).json()["last_seq"] == 1
        assert monotonic() - began < 6
        assert owner.value("SELECT count(*) FROM wakes") == 1


def test_waiting_calls_hold_no_connection_and_end_when_the_web_stops(
    settings: Settings, served: None
) -> None:
    del served
    small = settings.model_copy(update={"db_pool_size": 2, "db_pool_timeout_s": 10.0})
    mint = Mint(small)
    with ThreadPoolExecutor(24) as pool:
        with gunicorn(small) as web:
            thread_id = thread_of(web, mint, "alice", "bob")
            params = {"wait_s": 50}

            def wait(_: int) -> int:
                token = as_(mint.token("bob"))
                path = f"/v1/threads/{thread_id}/messages"
                return httpx.get(
                    f"{web.base_url}{path}", params=params, headers=token, timeout=60
                ).status_code

            waits = [pool.submit(wait, number) for number in range(24)]
            for _ in range(20):
                assert web.get("/v1/inbox", headers=as_(mint.token("alice"))).status_code == httpx.codes.OK
            stopped_at = monotonic()
        assert [done.result(5) for done in waits] == [httpx.codes.OK] * 24
        assert monotonic() - stopped_at < 8


def test_a_database_that_can_lose_what_it_acknowledged_is_refused(settings: Settings, owner: Owner) -> None:
    name = owner.value("SELECT current_database()")
    owner.run(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with pytest.raises(AssertionError, match="synchronous_commit off"), gunicorn(settings):
        pass


def test_both_workers_figures_are_scraped(web: httpx.Client, mint: Mint, settings: Settings) -> None:
    for _ in range(20):
        with httpx.Client(base_url=web.base_url) as client:
            client.get("/v1/inbox", headers=as_(mint.token("alice")))
    secret = settings.metrics_token_file.read_text().strip()
    text = web.get("/metrics", headers=as_(secret)).text
    wanted = r'wakebridge_http_requests_total\{method="GET",route="/v1/inbox",status="200"\} 20.0'
    assert re.search(wanted, text), text[:2000]


def test_the_readmes_walk_with_nothing_but_curl(
    web: httpx.Client, mint: Mint, settings: Settings, tmp_path: Path
) -> None:
    del web
    readme = (ROOT / "README.md").read_text()
    section = readme.split("## Two agents with nothing but curl", 1)[1].split("\n## ", 1)[0]
    script = "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))
    assert script.count("curl") >= 6
    script = script.replace("http://127.0.0.1:8765", f"http://127.0.0.1:{settings.port}")
    operator = tmp_path / "operator.token"
    operator.write_text(mint.token("operator", Role.OPERATOR, workspace="default"))
    environment = inherited_environment() | {
        "PATH": f"{Path(sys.executable).parent}:{inherited_environment()['PATH']}",
        "BRIDGE_URL": f"http://127.0.0.1:{settings.port}",
        "BRIDGE_TOKEN_FILE": str(operator),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = _objects(done.stdout)
    found = {name: answer for answer in answers for name in answer}
    assert found["wakes"]["wakes"][0]["agent_id"] == "executor"
    assert any(answer.get("unread") == 1 and answer.get("agent_id") == "executor" for answer in answers)
    assert any(answer.get("last_read_seq") == 1 for answer in answers)
    receipts, wakes = answers[-2:]
    assert receipts["items"][0]["receipt"] == "read"
    assert wakes["items"][0]["state"] in ("acked", "already_active")


def _objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects that stand one after the other in a text."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        found.append(value)
        while at < len(text) and text[at].isspace():
            at += 1
    return found


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (
            b"GET /v1/threads HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 40_000 + b"\r\n\r\n",
            431,
            "HEADERS_TOO_LARGE",
        ),
        (b"GET /v1/threads HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431, "HEADERS_TOO_LARGE"),
        (b"NONSENSE\r\n\r\n", 400, "INVALID_ARGUMENT"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", 400, "INVALID_ARGUMENT"),
    ],
    ids=["big", "many", "no request", "long"],
)
def test_what_is_not_even_http_gets_a_problem_too(
    web: httpx.Client, raw: bytes, status: int, code: str
) -> None:
    head, body = _sent(web, raw)
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert "application/problem+json" in head
    assert json.loads(body)["code"] == code


def test_a_body_that_does_not_come_as_it_says_is_the_callers_fault(web: httpx.Client, mint: Mint) -> None:
    token = mint.token("chief", Role.COORDINATOR)
    raw = (
        f"POST /v1/threads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"
    )
    head, body = _sent(web, raw.encode())
    assert head.startswith("HTTP/1.1 400 ")
    assert json.loads(body)["code"] == "INVALID_ARGUMENT"


def test_who_sends_too_much_is_told_so(web: httpx.Client, mint: Mint) -> None:
    token = as_(mint.token("chief", Role.COORDINATOR)) | {"Content-Type": "application/json"}
    answer = web.post("/v1/threads", content=b"x" * 2_000_000, headers=token)
    assert answer.json()["code"] == "PAYLOAD_TOO_LARGE"
    assert web.get("/health").is_success


def _sent(web: httpx.Client, raw: bytes) -> tuple[str, str]:
    with socket.create_connection(("127.0.0.1", web.base_url.port or 0), timeout=10) as link:
        link.sendall(raw)
        link.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := link.recv(65_536):
            answer += chunk
    head, _, body = answer.decode().partition("\r\n\r\n")
    return head, body
