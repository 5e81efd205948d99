"""The web as tests use it: the app in this process, or gunicorn as it is really run; and tokens of one's own key."""
# ruff: noqa: ANN401 - JSON and claims of any form

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from bridge.adapters.tokens import wall_clock
from bridge.config import Settings, child_environment, inherited_environment
from bridge.core.states import Role
from bridge.stack.keys import ensure_keys, public_jwk

ROOT = Path(__file__).resolve().parents[2]
START_S_MAX = 30.0


class Mint:
    """Makes tokens with the stack's key, right ones and wrong ones."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.key: Ed25519PrivateKey = ensure_keys(settings)
        self.kid = public_jwk(self.key)["kid"]

    def claims(
        self, agent_id: str = "alice", role: Role = Role.PARTICIPANT, workspace: str = "ws_1", **other: Any
    ) -> dict[str, Any]:
        """The claims of a good token; None takes one away."""
        now = wall_clock()
        said = {
            "agent_id": agent_id,
            "workspace_id": workspace,
            "role": role.value,
            "session_id": f"ses_{agent_id}",
            "jti": f"jti_{agent_id}_{now}",
            "iat": now - 1,
            "exp": now + 600,
            "iss": self.settings.token_issuer,
            "aud": self.settings.token_audience,
        } | other
        return {name: value for name, value in said.items() if value is not None}

    def token(self, agent_id: str = "alice", role: Role = Role.PARTICIPANT, **other: Any) -> str:
        """A token, signed."""
        return self.sign(self.claims(agent_id, role, **other))

    def sign(self, claims: Mapping[str, Any], **header: Any) -> str:
        """These claims, signed with the stack's key."""
        return jwt.encode(dict(claims), self.key, algorithm="EdDSA", headers={"kid": self.kid} | header)


class Api:
    """One agent's calls on the app in this process."""

    def __init__(self, client: FlaskClient, token: str | None) -> None:
        self._client, self._token = client, token

    def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **more: Any
    ) -> TestResponse:
        """A call with a JSON body."""
        sent = dict(headers or {})
        if self._token is not None:
            sent.setdefault("Authorization", f"Bearer {self._token}")
        if body is not None:
            more |= {"data": json.dumps(body), "content_type": "application/json"}
        return self._client.open(path, method=method, headers=sent, **more)

    def get(self, path: str, **query: Any) -> TestResponse:
        """GET."""
        return self.call("GET", path, **({"query_string": query} if query else {}))

    def post(self, path: str, body: Any = None, **headers: str) -> TestResponse:
        """POST; a keyword is a header."""
        return self.call("POST", path, {} if body is None else body, _headers(headers))

    def put(self, path: str, body: Any = None) -> TestResponse:
        """PUT."""
        return self.call("PUT", path, {} if body is None else body)

    def delete(self, path: str) -> TestResponse:
        """DELETE."""
        return self.call("DELETE", path)


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in given.items()}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def gunicorn(settings: Settings) -> Iterator[httpx.Client]:
    """The web as `bridge up` runs it; a client of it. Ends with TERM, and must end by itself.

    Whoever names no port gets a free one: two workers of a test run never share a door.
    """
    if settings.port == Settings.model_fields["port"].default:
        settings = settings.model_copy(update={"port": free_port()})
    ensure_keys(settings)
    settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    argv = (sys.executable, "-m", "gunicorn", "-c", "python:web.gunicorn_conf", "web.wsgi:app")
    process = subprocess.Popen(
        argv,
        cwd=ROOT,
        env=inherited_environment() | child_environment(settings),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    lines: list[str] = []
    reader = threading.Thread(target=_collect, args=(process, lines), daemon=True)
    reader.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{settings.port}", timeout=30) as client:
            _await(client, process, lines)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            process.wait()
            reader.join(5)
            if process.stderr is not None:
                process.stderr.close()


def _collect(process: subprocess.Popen[bytes], lines: list[str]) -> None:
    assert process.stderr is not None
    lines.extend(line.decode(errors="replace") for line in process.stderr)


def _await(client: httpx.Client, process: subprocess.Popen[bytes], lines: list[str]) -> None:
    pause = threading.Event()
    for _ in range(int(START_S_MAX / 0.1)):
        try:
            if client.get("/health").is_success:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None:
            break
        pause.wait(0.1)
    raise AssertionError("the web did not start:\n" + "".join(lines))
