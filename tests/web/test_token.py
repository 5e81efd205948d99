"""Tokens over HTTP: issuing, refreshing, revoking."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

import pytest
from flask import Flask

from bridge.adapters.tokens import wall_clock
from bridge.core.states import Role
from tests.support.postgres import Owner
from tests.support.web import Api, Mint

Apis = Callable[..., Api]


def operator(api: Apis, workspace: str = "ws_1") -> Api:
    return api("boss", Role.OPERATOR, workspace=workspace)


def issued(answer: Any) -> dict[str, Any]:  # noqa: ANN401  a response
    assert answer.status_code == 201, answer.json
    assert isinstance(answer.json, dict)
    return answer.json


def test_an_operator_lets_an_agent_have_a_token_that_is_good(api: Apis, app: Flask, owner: Owner) -> None:
    said = issued(operator(api).post("/v1/tokens", {"agent_id": "alice", "ttl_s": 60}))
    assert (said["agent_id"], said["workspace_id"], said["role"]) == ("alice", "ws_1", "participant")
    assert Api(app.test_client(), said["token"]).get("/v1/inbox").status_code == 200
    event = owner.one("SELECT event, actor FROM audit_events WHERE resource_id = :jti", jti=said["jti"])
    assert event == {"event": "token.issued", "actor": "boss"}
    assert said["token"] not in str(owner.rows("SELECT * FROM audit_events"))


def test_only_the_home_workspaces_operators_let_another_workspace_in(api: Apis, app: Flask) -> None:
    body = {"agent_id": "alice", "workspace_id": "ws_new"}
    refusal = operator(api).post("/v1/tokens", body)
    assert refusal.json is not None
    assert (refusal.status_code, refusal.json["code"]) == (403, "OUT_OF_SCOPE_WORKSPACE")
    said = issued(operator(api, "default").post("/v1/tokens", body))
    assert Api(app.test_client(), said["token"]).get("/v1/inbox").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"agent_id": "wakebridge"},
        {"agent_id": "a", "ttl_s": 3601},
        {"agent_id": "a", "ttl_s": 0},
        {"agent_id": "a", "role": "emperor"},
        {"agent_id": "a b"},
        {},
    ],
)
def test_a_token_that_must_not_be_is_not_made(api: Apis, body: dict[str, Any]) -> None:
    answer = operator(api).post("/v1/tokens", body)
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (400, "INVALID_ARGUMENT")


def test_a_refreshed_token_is_the_same_sessions(api: Apis, app: Flask) -> None:
    said = issued(operator(api).post("/v1/tokens", {"agent_id": "alice", "session_id": "ses_x"}))
    mine = Api(app.test_client(), said["token"])
    fresh = issued(mine.post("/v1/tokens/refresh", {}))
    assert fresh["session_id"] == "ses_x"
    assert fresh["jti"] != said["jti"]
    assert Api(app.test_client(), fresh["token"]).get("/v1/inbox").status_code == 200


def test_an_expired_token_is_not_refreshed(app: Flask, mint: Mint, services: object) -> None:
    del services
    now = wall_clock()
    old = Api(app.test_client(), mint.token(iat=now - 100, exp=now - 10))
    answer = old.post("/v1/tokens/refresh", {})
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (401, "TOKEN_EXPIRED")


@pytest.mark.parametrize("kind", ["jti", "session_id", "agent_id"])
def test_what_is_revoked_is_refused_and_a_new_token_is_good(api: Apis, app: Flask, kind: str) -> None:
    boss = operator(api)
    said = issued(boss.post("/v1/tokens", {"agent_id": "alice", "session_id": "ses_x"}))
    mine = Api(app.test_client(), said["token"])
    assert mine.get("/v1/inbox").status_code == 200
    issued(boss.post("/v1/tokens/revocations", {kind: said[kind], "reason": "lost"}))
    answer = mine.get("/v1/inbox")
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (401, "TOKEN_REVOKED")
    again = issued(boss.post("/v1/tokens", {"agent_id": "alice", "session_id": "ses_x"}))
    assert Api(app.test_client(), again["token"]).get("/v1/inbox").status_code == 200


def test_a_waiting_call_ends_when_its_token_is_revoked(api: Apis, app: Flask) -> None:
    from threading import Thread  # noqa: PLC0415

    boss = operator(api)
    said = issued(boss.post("/v1/tokens", {"agent_id": "alice"}))
    answers: list[int] = []
    done = Event()

    def wait() -> None:
        answers.append(Api(app.test_client(), said["token"]).get("/v1/inbox", wait_s=30).status_code)
        done.set()

    Thread(target=wait, daemon=True).start()
    assert not done.wait(0.5)
    boss.post("/v1/tokens/revocations", {"jti": said["jti"]})
    assert done.wait(3)
    assert answers == [401]


def test_one_thing_is_revoked_at_a_time(api: Apis) -> None:
    for body in ({}, {"jti": "a", "agent_id": "b"}):
        assert operator(api).post("/v1/tokens/revocations", body).status_code == 400


def test_a_workspace_that_is_not_served_is_out_of_scope(api: Apis) -> None:
    answer = api("alice", workspace="ws_nowhere").get("/v1/inbox")
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (403, "OUT_OF_SCOPE_WORKSPACE")


def test_who_says_to_be_somebody_else_is_audited_once_a_minute(api: Apis, owner: Owner) -> None:
    for _ in range(3):
        answer = operator(api).post("/v1/threads", {"title": "x", "workspace_id": "ws_2"})
        assert answer.json is not None
        assert (answer.status_code, answer.json["code"]) == (403, "CLAIM_MISMATCH")
    events = owner.rows("SELECT event, resource_id FROM audit_events WHERE resource_type = 'security'")
    assert events == [{"event": "security.claim_mismatch", "resource_id": "boss"}]
