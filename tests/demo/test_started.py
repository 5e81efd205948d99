"""The agent that is started: it proves itself, reads, answers; and it fails as its preset says."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bridge.config import inherited_environment
from bridge.demo.brain import COMMIT, RED_BUILD
from bridge.demo.ledger import Ledger

ENDS_S = 20
MESSAGE = {"seq": 7, "message_id": "msg_7", "kind": "chat", "body": RED_BUILD, "sender_agent_id": "ci"}
ANSWERS: dict[str, dict[str, Any]] = {
    "GET /v1/inbox": {"items": [{"thread_id": "th_1", "last_read_seq": 6}]},
    "GET /v1/threads/th_1/messages?since_seq=6": {"items": [MESSAGE], "next_seq": 7, "has_more": False},
    "PUT /v1/threads/th_1/cursor": {},
    "POST /v1/threads/th_1/messages": {"seq": 8},
}


class Bridge(ThreadingHTTPServer):
    """Answers the four calls, and keeps what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None, Any]] = []
        self.answers = dict(ANSWERS)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Bridge

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = f"{self.command} {self.path}"
        self.server.asked.append((call, self.headers["Authorization"], json.loads(body or "null")))
        said = self.server.answers.get(call)
        self.send_response(200 if said is not None else 404)
        self.end_headers()
        self.wfile.write(json.dumps(said if said is not None else {"detail": "no such thing"}).encode())

    do_GET = do_PUT = do_POST = answer  # noqa: N815  the names that it looks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    with Bridge() as bridge:
        serving = threading.Thread(target=bridge.serve_forever, args=(0.01,))
        serving.start()
        yield bridge
        bridge.shutdown()
        serving.join()


def start(folder: Path, *options: str, url: str = "http://127.0.0.1:1") -> subprocess.CompletedProcess[str]:
    (folder / "token").write_text("secret\n")
    environment = inherited_environment() | {
        "BRIDGE_URL": url,
        "BRIDGE_TOKEN_FILE": str(folder / "token"),
        "BRIDGE_RUN_ID": "run_1",
    }
    argv = [
        sys.executable,
        "-m",
        "bridge.demo.started",
        "executor",
        str(folder / "ledger"),
        "resume",
        "nat_1",
    ]
    return subprocess.run(
        [*argv, *options],
        input="the prompt\n",
        env=environment,
        capture_output=True,
        text=True,
        timeout=ENDS_S,
        check=False,
    )


def until(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + ENDS_S
    while not condition():
        assert time.monotonic() < ends, "it never came true"
        time.sleep(0.01)


def test_it_proves_itself_reads_and_answers(bridge: Bridge, tmp_path: Path) -> None:
    done = start(tmp_path, url=bridge.url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"type": "session", "session_id": "nat_1"}
    assert [call for call, _, _ in bridge.asked] == list(ANSWERS)
    assert {token for _, token, _ in bridge.asked} == {"Bearer secret"}
    said = bridge.asked[-1][2]
    assert (said["in_reply_to"], said["to"]) == ("msg_7", ["ci"])
    assert COMMIT in said["body"]


def test_its_ledger_has_its_prompt_and_what_it_did(bridge: Bridge, tmp_path: Path) -> None:
    start(tmp_path, url=bridge.url)
    ledger = Ledger(tmp_path / "ledger")
    assert [entry["did"] for entry in ledger.entries()] == ["began", "read", "posted"]
    assert (ledger.entries("began")[0]["prompt"], ledger.entries("read")[0]["messages"]) == (
        "the prompt\n",
        1,
    )


def test_without_what_it_needs_it_fails_before_it_proves_anything(tmp_path: Path) -> None:
    done = start(tmp_path, f"needs={tmp_path / 'missing'}")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(Ledger(tmp_path / "ledger").entries("began")) == 1


def test_each_start_has_its_own_trouble_and_later_ones_have_none(bridge: Bridge, tmp_path: Path) -> None:
    trouble = "troubles=crash,crash"
    codes = [start(tmp_path, trouble, url=bridge.url).returncode for _ in range(3)]
    assert codes == [1, 1, 0]


def test_one_that_hangs_proves_nothing_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "bridge.demo.started",
        "executor",
        str(tmp_path / "ledger"),
        "resume",
        "nat_1",
    ]
    environment = inherited_environment() | {"BRIDGE_RUN_ID": "run_1"}
    pipe = subprocess.PIPE
    with subprocess.Popen([*argv, "troubles=hang"], env=environment, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        process.stdin.close()
        until(lambda: Ledger(tmp_path / "ledger").entries("began"))
        process.terminate()
        out = process.stdout.read() if process.stdout else b"?"
        assert (process.wait(ENDS_S), out) == (-signal.SIGTERM, b"")


def test_a_refusal_makes_it_fail(bridge: Bridge, tmp_path: Path) -> None:
    bridge.answers["GET /v1/inbox"] = {"items": [{"thread_id": "th_unknown", "last_read_seq": 0}]}
    done = start(tmp_path, url=bridge.url)
    assert done.returncode != 0
    assert "no such thing" in done.stderr
