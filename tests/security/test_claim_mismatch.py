"""Claim mismatch: who calls is said by the token; a body that says otherwise is refused, on every call, and audited."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge.core.authority import AUTHORITY, Grant
from bridge.core.states import Role
from tests.security.places import NAMES, OBJECTS, concrete
from tests.support.postgres import Owner
from tests.support.web import Api
from web.app import WITH_BODY, load_routes
from web.routing import Route

Apis = Callable[..., Api]
FIELDS = ("agent_id", "sender_agent_id", "session_id", "workspace_id")
IDS = {**NAMES, **dict.fromkeys(OBJECTS, "some-id")}


def asks_it(route: Route, field: str) -> bool:
    """Whether this field names somebody else on purpose there: who is to be added, let in, revoked."""
    return route.body is not None and field in route.body.model_fields


CALLS = [
    (route, field)
    for route in load_routes()
    if route.method in WITH_BODY
    for field in FIELDS
    if not asks_it(route, field)
]
ASKED = {
    (f"{route.method} {route.path}", field)
    for route in load_routes()
    for field in FIELDS
    if asks_it(route, field)
}


def test_the_calls_that_name_somebody_else_on_purpose_are_these() -> None:
    assert {
        ("POST /v1/threads/{thread_id}/participants", "agent_id"),
        ("POST /v1/tokens", "agent_id"),
        ("POST /v1/tokens", "session_id"),
        ("POST /v1/tokens", "workspace_id"),
        ("POST /v1/tokens/revocations", "agent_id"),
        ("POST /v1/tokens/revocations", "session_id"),
    } == ASKED


@pytest.mark.parametrize("field", FIELDS)
def test_no_call_lets_a_body_say_who_calls(api: Apis, owner: Owner, field: str) -> None:
    tried = 0
    for route, name in CALLS:
        role = next(
            role for role in (Role.OPERATOR, Role.HOST) if AUTHORITY[route.action, role] is not Grant.NO
        )
        if name != field or ("{thread_id}" in route.path and AUTHORITY[route.action, role] is Grant.OWN):
            continue
        for value in ("mallory", "", None, 7, ["alice"], {"$ne": ""}):
            answer = api("alice", role).call(route.method, concrete(route.path, IDS), {field: value})
            assert answer.json is not None
            assert (answer.status_code, answer.json["code"]) == (403, "CLAIM_MISMATCH"), (route.path, value)
            tried += 1
    assert tried > 40
    (row,) = owner.rows("SELECT event, actor, after FROM audit_events WHERE resource_type = 'security'")
    assert (row["event"], row["actor"]) == ("security.claim_mismatch", "alice")
    assert "mallory" not in str(row["after"])


def test_in_the_own_thread_too_and_repeating_the_claims_is_no_mismatch(api: Apis) -> None:
    boss = api("boss", Role.OPERATOR)
    made = boss.post("/v1/threads", {"title": "x", "participants": [{"agent_id": "alice"}]}).json
    assert made is not None
    path = f"/v1/threads/{made['thread_id']}/messages"
    for field in FIELDS:
        answer = api("alice").post(path, {"body": "x", field: "mallory"})
        assert answer.json is not None
        assert answer.json["code"] == "CLAIM_MISMATCH", field
    same = {
        "agent_id": "alice",
        "sender_agent_id": "alice",
        "session_id": "ses_alice",
        "workspace_id": "ws_1",
    }
    assert api("alice").post(path, {"body": "x"} | same).status_code == 201
    (message,) = api("alice").get(path).json["items"]  # type: ignore[index]
    assert message["sender_agent_id"] == "alice"


def test_a_session_in_the_path_is_the_callers_own(api: Apis, owner: Owner) -> None:
    for method, path, body in (
        ("PUT", "/v1/sessions/ses_bob", {"runtime": "pty"}),
        ("POST", "/v1/sessions/ses_bob/human-input", None),
        ("PUT", "/v1/sessions/ses_bob/hold", {"for_s": 10}),
    ):
        answer = api("alice").call(method, path, body)
        assert answer.json is not None
        assert (answer.status_code, answer.json["code"]) == (403, "CLAIM_MISMATCH"), path
    assert owner.value("SELECT count(*) FROM sessions") == 0
