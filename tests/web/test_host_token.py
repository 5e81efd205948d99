"""How a host keeps its own token, and has others made for the runs that it starts. What it may not: tests/security."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from flask import Flask
from werkzeug.serving import make_server

from bridge.adapters.host_credentials import HostCredentials
from bridge.adapters.tokens import wall_clock
from bridge.config import Settings
from bridge.core.errors import Forbidden, InvalidArgument, Unavailable
from bridge.core.states import Role
from tests.support.web import Api, Mint, free_port
from tests.support.world import World
from tests.tasks.world import until


@pytest.fixture(autouse=True)
def _bob(world: World) -> None:
    world.agent("bob", host="local")


@pytest.fixture
def at_web(app: Flask, settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """A host's settings, with the app answering on a port of its own."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/"
    yield settings.model_copy(update={"url": url, "token_file": tmp_path / "host.token"})
    server.shutdown()
    thread.join(5)
    server.server_close()


@pytest.fixture
def credentials(at_web: Settings) -> Iterator[HostCredentials]:
    found = HostCredentials(at_web)
    yield found
    found.close()


def put(settings: Settings, token: str) -> str:
    assert settings.token_file is not None
    settings.token_file.write_text(token + "\n")
    settings.token_file.chmod(0o600)
    return token


def own_token(mint: Mint, *, age_s: float = 1, left_s: float = 3599, host_name: str = "local") -> str:
    now = wall_clock()
    times = {"iat": int(now - age_s), "exp": int(now + left_s)}
    return mint.token(f"host:{host_name}", Role.HOST, workspace="default", **times)


def test_a_runs_token_is_for_its_agent_and_session_and_short(
    credentials: HostCredentials, at_web: Settings, mint: Mint, app: Flask
) -> None:
    own = put(at_web, own_token(mint))
    token = credentials.issue("ws_1", "bob", "ses_bob")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["agent_id"], claims["session_id"], claims["role"]) == ("bob", "ses_bob", "participant")
    assert Api(app.test_client(), token).get("/v1/inbox").status_code == 200
    assert credentials.token() == own


def test_the_hosts_token_is_renewed_at_half_its_life_by_one_and_kept_for_this_user_alone(
    credentials: HostCredentials, at_web: Settings, mint: Mint
) -> None:
    old = put(at_web, own_token(mint, age_s=2000, left_s=1600))
    at_once = threading.Barrier(8)
    got: list[str] = []

    def ask() -> None:
        at_once.wait(10)
        got.append(credentials.issue("ws_1", "bob", "ses_bob"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(got) == 8
    assert at_web.token_file is not None
    kept = at_web.token_file.read_text().strip()
    assert kept == credentials.token() != old
    assert stat.S_IMODE(at_web.token_file.stat().st_mode) == 0o600
    assert [path.name for path in at_web.token_file.parent.glob("*host.token*")] == ["host.token"]
    claims = jwt.decode(kept, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == pytest.approx(3600, abs=2)


def test_another_token_that_is_put_into_the_file_is_believed_at_once(
    credentials: HostCredentials, at_web: Settings, mint: Mint
) -> None:
    put(at_web, own_token(mint, host_name="east"))
    with pytest.raises(Forbidden, match="not bound to the host east"):
        credentials.issue("ws_1", "bob", "ses_bob")
    put(at_web, own_token(mint))
    assert credentials.issue("ws_1", "bob", "ses_bob")


def test_a_token_that_is_over_or_missing_is_told_with_what_to_do(
    credentials: HostCredentials, at_web: Settings, mint: Mint, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        credentials.issue("ws_1", "bob", "ses_bob")
    put(at_web, "")
    with pytest.raises(Unavailable, match="there is no token in"):
        credentials.issue("ws_1", "bob", "ses_bob")
    over = put(at_web, own_token(mint, age_s=3000, left_s=-10))
    with pytest.raises(Unavailable, match="bridge token issue") as refusal:
        credentials.issue("ws_1", "bob", "ses_bob")
    assert over not in json.dumps([str(refusal.value), *capfd.readouterr()])


def test_a_bridge_that_is_away_is_told_in_words_and_without_the_token(
    at_web: Settings, mint: Mint, capfd: pytest.CaptureFixture[str]
) -> None:
    credentials = HostCredentials(at_web.model_copy(update={"url": f"http://127.0.0.1:{free_port()}"}))
    token = put(at_web, own_token(mint, age_s=2000, left_s=1600))
    with pytest.raises(Unavailable, match="does not answer") as refusal:
        credentials.issue("ws_1", "bob", "ses_bob")
    assert refusal.value.__cause__ is None
    assert token not in json.dumps([repr(refusal.value), *capfd.readouterr()])
    credentials.close()


def test_a_host_that_starts_nothing_keeps_its_token_fresh_all_the_same(
    credentials: HostCredentials, at_web: Settings, mint: Mint
) -> None:
    old = put(at_web, own_token(mint, age_s=2000, left_s=1600))
    credentials.start()
    assert at_web.token_file is not None
    file = at_web.token_file
    until(lambda: file.read_text().strip() != old, "a renewed token")


def test_a_host_without_token_or_bridge_has_no_credentials(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="BRIDGE_TOKEN_FILE"):
        HostCredentials(settings.model_copy(update={"url": "http://127.0.0.1:1"}))
    with pytest.raises(InvalidArgument, match="BRIDGE_URL"):
        HostCredentials(settings.model_copy(update={"token_file": tmp_path / "t"}))
