"""Replay: what was sent once is worth nothing to another, nor a second time; an old token makes no new one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from bridge.adapters.tokens import wall_clock
from bridge.core.states import Role
from tests.support.postgres import Owner
from tests.support.web import Api, Mint
from tests.support.world import World

Apis = Callable[..., Api]
KEYED = {"Idempotency_Key": "key-1"}


@pytest.fixture
def path(api: Apis, world: World) -> str:
    del api
    return f"/v1/threads/{world.thread('alice', 'bob')}/messages"


def test_a_request_that_is_sent_again_is_answered_as_before_and_done_once(
    api: Apis, path: str, owner: Owner
) -> None:
    answers = [api("alice").post(path, {"body": "x"}, **KEYED) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json == answers[1].json
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert owner.value("SELECT count(*) FROM messages") == 1


def test_a_key_is_its_agents_own_and_tells_another_nothing(api: Apis, path: str, owner: Owner) -> None:
    first = api("alice").post(path, {"body": "x"}, **KEYED)
    second = api("bob").post(path, {"body": "x"}, **KEYED)
    assert (first.status_code, second.status_code) == (201, 201)
    assert "Idempotency-Replayed" not in second.headers
    assert [
        row["sender_agent_id"] for row in owner.rows("SELECT sender_agent_id FROM messages ORDER BY seq")
    ] == [
        "alice",
        "bob",
    ]
    stranger = api("mallory").post(path, {"body": "x"}, **KEYED)
    assert stranger.status_code == 403


def test_a_key_with_another_payload_is_refused(api: Apis, path: str, owner: Owner) -> None:
    api("alice").post(path, {"body": "x"}, **KEYED)
    answer = api("alice").post(path, {"body": "y"}, **KEYED)
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert owner.value("SELECT count(*) FROM messages") == 1


def test_a_replay_after_the_caller_was_taken_out_of_the_thread_tells_it_nothing_new(
    api: Apis, path: str
) -> None:
    api("alice").post(path, {"body": "x"}, **KEYED)
    api("boss", Role.OPERATOR).delete(path.replace("messages", "participants/alice"))
    assert api("alice").get(path).status_code == 403
    assert api("alice").post(path, {"body": "z"}).status_code == 403


@pytest.mark.parametrize("named", ["jti", "session_id", "agent_id"])
def test_a_revoked_token_refreshes_nothing(api: Apis, app: Flask, mint: Mint, named: str) -> None:
    boss = api("boss", Role.OPERATOR)
    mine = {"jti": "jti_7", "session_id": "ses_7", "agent_id": "alice"}
    old = Api(app.test_client(), mint.token("alice", jti="jti_7", session_id="ses_7"))
    assert old.post("/v1/tokens/refresh", {}).status_code == 201
    assert boss.post("/v1/tokens/revocations", {named: mine[named], "reason": "lost"}).status_code == 201
    answer = old.post("/v1/tokens/refresh", {})
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (401, "TOKEN_REVOKED")


def test_what_was_refreshed_from_a_token_goes_with_its_session_and_its_agent(api: Apis, app: Flask) -> None:
    boss = api("boss", Role.OPERATOR)
    for named in ("session_id", "agent_id"):
        made = boss.post(
            "/v1/tokens", {"agent_id": f"agent-{named[:3]}", "session_id": f"ses-{named[:3]}"}
        ).json
        assert made is not None
        fresh = Api(app.test_client(), made["token"]).post("/v1/tokens/refresh", {}).json
        assert fresh is not None
        boss.post("/v1/tokens/revocations", {named: made[named], "reason": "lost"})
        assert Api(app.test_client(), fresh["token"]).get("/v1/inbox").status_code == 401


def test_an_expired_token_refreshes_nothing_and_the_leeway_is_no_longer_life(
    api: Apis, app: Flask, mint: Mint
) -> None:
    del api
    now = wall_clock()
    answer = Api(app.test_client(), mint.token(iat=now - 100, exp=now - 6)).post("/v1/tokens/refresh", {})
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (401, "TOKEN_EXPIRED")
