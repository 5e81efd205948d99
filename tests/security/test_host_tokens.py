"""A host's token: it has tokens made for agents bound to it, as participants, for a quarter of an hour; no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from flask import Flask

from bridge.core.states import Role
from tests.support.postgres import Owner
from tests.support.web import Api
from tests.support.world import World

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
