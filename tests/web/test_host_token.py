"""Tokens that hosts have made for the runs they start: for whom, for how long, and how a host keeps its own."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from flask import Flask
from werkzeug.serving import make_server

from bridge.adapters.host_credentials import HostCredentials
from bridge.adapters.tokens import wall_clock
from bridge.config import Settings
from bridge.core.errors import Forbidden, InvalidArgument, Unavailable
from bridge.core.states import Role
from tests.support.postgres import Owner
from tests.support.web import Api, Mint, free_port
from tests.support.world import World
from tests.tasks.world import until

Apis = Callable[..., Api]
BODY = {"agent_id": "bob", "workspace_id": "ws_1", "session_id": "ses_bob", "ttl_s": 900}


def host(api: Apis, name: str = "local", workspace: str = "default") -> Api:
    return api(f"host:{name}", Role.HOST, workspace=workspace)


def refused(answer: Any, status: int = 403, code: str = "FORBIDDEN") -> str:  # noqa: ANN401  a response
    assert (answer.status_code, answer.json["code"]) == (status, code), answer.json
    return str(answer.json["detail"])


@pytest.fixture(autouse=True)
def _bob(world: World) -> None:
    world.agent("bob", host="local")


@pytest.fixture
def run_of_bob(world: World, owner: Owner) -> str:
    """An open run of bob's session on the host `east`, to which bob is not bound."""
    return open_run(world, owner, "bob", "east")


def open_run(world: World, owner: Owner, agent_id: str, host_name: str) -> str:
    world.live(agent_id)
    attempt = world.touching(world.pending(world.thread("alice", agent_id))).attempt
    now = world.now()
    moments = dict.fromkeys(("begun_at", "kill_at", "updated_at"), now)
    named = {"run_id": "run_1", "workspace_id": "ws_1", "agent_id": agent_id, "session_id": f"ses_{agent_id}"}
    how = {"native_id": "n", "attempt_id": attempt.attempt_id, "rung": "resume", "preset": "line", "slot": 1}
    where = {"host": host_name, "worker": "w", "state": "running"}
    owner.insert("runs", named | how | where | moments)
    return named["session_id"]


def test_a_host_has_a_token_made_for_an_agent_that_is_bound_to_it(
    api: Apis, app: Flask, owner: Owner
) -> None:
    answer = host(api).post("/v1/tokens", BODY)
    assert answer.json is not None
    assert answer.status_code == 201
    assert (answer.json["role"], answer.json["session_id"]) == ("participant", "ses_bob")
    assert Api(app.test_client(), answer.json["token"]).get("/v1/inbox").status_code == 200
    claims = jwt.decode(answer.json["token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] <= 900
    event = owner.one(
        "SELECT event, actor FROM audit_events WHERE resource_id = :jti", jti=answer.json["jti"]
    )
    assert event == {"event": "token.issued", "actor": "host:local"}


def test_a_host_has_a_token_made_for_the_session_of_its_open_run_alone(
    api: Apis, owner: Owner, run_of_bob: str
) -> None:
    east = host(api, "east")
    assert east.post("/v1/tokens", BODY | {"session_id": run_of_bob}).status_code == 201
    refused(east.post("/v1/tokens", BODY | {"session_id": "ses_other"}))
    refused(host(api, "west").post("/v1/tokens", BODY | {"session_id": run_of_bob}))
    owner.run("UPDATE runs SET state = 'ended', ended_at = bridge_now(), result = 'exited'")
    assert "no run there" in refused(east.post("/v1/tokens", BODY | {"session_id": run_of_bob}))


@pytest.mark.parametrize(
    "change",
    [
        {"role": "coordinator"},
        {"role": "operator"},
        {"role": "host", "agent_id": "host:local"},
        {"ttl_s": 901},
        {"agent_id": "nobody"},
        {"agent_id": "carol"},
        {"agent_id": "boss"},
        {"session_id": "ses_dave"},
    ],
    ids=str,
)
def test_a_host_gets_no_more_than_its_runs_need(
    api: Apis, owner: Owner, world: World, change: dict[str, Any]
) -> None:
    world.agent("carol", host="east")
    world.agent("boss", host="local", human=True)
    world.live("dave")
    refused(host(api).post("/v1/tokens", BODY | change))
    assert owner.rows("SELECT 1 FROM audit_events WHERE event = 'token.issued'") == []
    assert owner.rows("SELECT 1 FROM agents WHERE agent_id = 'nobody'") == []


def test_a_participant_may_not_be_called_as_a_host_is_and_a_host_not_otherwise(api: Apis) -> None:
    for body in (
        {"agent_id": "host:local"},
        {"agent_id": "host:No Such"},
        {"agent_id": "bob", "role": "host"},
    ):
        refused(api("boss", Role.OPERATOR).post("/v1/tokens", body), 400, "INVALID_ARGUMENT")
    fine = api("boss", Role.OPERATOR).post("/v1/tokens", {"agent_id": "host:east", "role": "host"})
    assert fine.status_code == 201
    refused(api("host:local").post("/v1/tokens", BODY))  # the name alone does not make a host
    refused(api("bob", Role.HOST, workspace="default").post("/v1/tokens", BODY))


def test_only_hosts_of_the_home_workspace_serve_another_one(api: Apis, world: World) -> None:
    World(world.deps, world.owner, world.gateway, "ws_2").agent("bob")
    assert host(api, workspace="ws_1").post("/v1/tokens", BODY).status_code == 201
    other = host(api, workspace="ws_1").post("/v1/tokens", BODY | {"workspace_id": "ws_2"})
    refused(other, code="OUT_OF_SCOPE_WORKSPACE")
    refused(host(api).post("/v1/tokens", BODY | {"workspace_id": "ws_nowhere"}))
    assert world.owner.rows("SELECT 1 FROM workspaces WHERE workspace_id = 'ws_nowhere'") == []


def test_a_token_lives_no_longer_for_being_refreshed(api: Apis, app: Flask) -> None:
    made = host(api).post("/v1/tokens", BODY).json
    assert made is not None
    token = made["token"]
    for _ in range(3):
        answer = Api(app.test_client(), token).post("/v1/tokens/refresh", {})
        assert answer.json is not None
        token = answer.json["token"]
        claims = jwt.decode(token, options={"verify_signature": False})
        assert 899 <= claims["exp"] - claims["iat"] <= 900


def test_a_host_may_refresh_its_own_token_and_call_nothing_else(api: Apis) -> None:
    assert host(api).post("/v1/tokens/refresh", {}).status_code == 201
    for path in ("/v1/threads", "/v1/agents", "/v1/hosts", "/v1/inbox", "/v1/wakes"):
        refused(host(api).get(path))


# --- the host's side ---------------------------------------------------------------------------------------


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
