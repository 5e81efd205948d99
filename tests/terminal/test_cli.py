"""`bridge run` as a user starts it, against a bridge that speaks just the calls it needs, over real HTTP."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.terminal.world import PYTHON, Host, Terminal, World, program


def token_of(agent: str, session: str, number: int) -> str:
    claims = {"agent_id": agent, "session_id": session, "iat": 0, "exp": 3600, "jti": str(number)}
    return "e30." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") + ".x"


class Bridge:
    """Issues tokens to the operator, takes heartbeats from sessions, and remembers both."""

    def __init__(self) -> None:
        self.issued: list[dict[str, Any]] = []
        self.beats: list[tuple[str, dict[str, Any]]] = []
        self.expired: set[str] = set()
        bridge = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.body()
                if self.headers["Authorization"] != "Bearer operator" or self.path != "/v1/tokens":
                    return self.answer(403, {"code": "FORBIDDEN", "detail": "no"})
                bridge.issued.append(body)
                token = token_of(body["agent_id"], body["session_id"], len(bridge.issued))
                return self.answer(201, {"token": token})

            def do_PUT(self) -> None:
                body = self.body()
                if self.headers["Authorization"].removeprefix("Bearer ") in bridge.expired:
                    return self.answer(401, {"code": "TOKEN_EXPIRED", "detail": "over"})
                bridge.beats.append((self.path, body))
                return self.answer(200, {})

            def body(self) -> dict[str, Any]:
                found: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                return found

            def answer(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    made = Bridge()
    yield made
    made.close()


def started(world: World, bridge: Bridge, *options: str, **variables: str) -> World:
    """The command line on the world's directory as data, with the host's socket where the settings put it."""
    world.host.hang_up()
    run_dir = world.directory / "run"
    run_dir.mkdir(mode=0o700)
    world.host = Host(run_dir / "host-local.sock")
    stack = {"url": bridge.url, "operator_token": "operator"}
    (world.directory / "stack.json").write_text(json.dumps(stack))
    cli = [PYTHON, "-m", "bridge.cli.app", "run", "--agent", "reviewer", *options]
    command = ["--", *program("line.py", str(world.directory / "got"))]
    environment = {"BRIDGE_DATA": str(world.directory), **variables}
    world.terminal = Terminal([*cli, *command], environment=environment)
    return world


def test_the_stack_issues_the_agents_token_and_the_session_beats_until_its_end(
    world: World, bridge: Bridge
) -> None:
    started(world, bridge).ready()
    session = bridge.issued[0]["session_id"]
    assert bridge.issued == [{"agent_id": "reviewer", "role": "participant", "session_id": session}]
    registration = world.host.registrations[0]
    assert registration["session_id"] == session
    assert registration["preset"] == "line"
    assert registration["token"] == token_of("reviewer", session, 1)
    assert registration["pid"] == world.window.pid
    assert world.injected("wake-1", "exit 4")["result"] == "accepted"
    assert world.exit_code() == 4
    said = [beat["status"] for _, beat in bridge.beats]
    assert (said[0], said[-1]) == ("active", "offline")
    assert {path for path, _ in bridge.beats} == {f"/v1/sessions/{session}"}
    assert bridge.beats[0][1] == {"runtime": "pty", "resumable": False, "status": "active"}


def test_a_token_that_has_expired_is_issued_anew_and_the_host_is_told(world: World, bridge: Bridge) -> None:
    bridge.expired.add(token_of("reviewer", "ses-1", 1))
    started(world, bridge, "--session", "ses-1").ready()
    fresh = {"op": "token", "token": token_of("reviewer", "ses-1", 2)}
    world.until(lambda: fresh in world.host.got or world.host.registrations[-1]["token"] == fresh["token"])
    assert [issued["session_id"] for issued in bridge.issued] == ["ses-1", "ses-1"]


def test_with_a_token_of_its_own_nothing_is_issued(world: World, bridge: Bridge) -> None:
    started(world, bridge, "--url", bridge.url, BRIDGE_TOKEN=token_of("reviewer", "ses-7", 1)).ready()
    assert bridge.issued == []
    assert world.host.registrations[0]["session_id"] == "ses-7"


def test_another_agents_token_is_refused_before_anything_starts(world: World, bridge: Bridge) -> None:
    started(world, bridge, "--url", bridge.url, BRIDGE_TOKEN=token_of("executor", "ses-7", 1))
    assert world.exit_code() == 1
    world.until(lambda: "the token is executor's, not reviewer's" in world.window.text)
    assert world.lines() == []


def test_without_a_bridge_it_says_so_and_starts_nothing(world: World, bridge: Bridge) -> None:
    bridge.close()
    started(world, bridge)
    assert world.exit_code() == 1
    world.until(lambda: "no bridge answers at" in world.window.text)
