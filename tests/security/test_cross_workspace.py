"""Other workspaces: no call finds, changes or betrays what is theirs, whoever asks; their ids are as good as none.

That the database holds even if our own filters were gone is shown in tests/shell/test_isolation.py.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge.core.states import Role
from tests.security.expected import EXPECTED, addressed, call_of, rows_of
from tests.security.places import ELSEWHERE, NAMES, OBJECTS, concrete, has_object, make_places
from tests.support.postgres import Owner
from tests.support.web import Api
from tests.support.world import World
from web.app import load_routes

Apis = Callable[..., Api]
CALLS = [f"{route.method} {route.path}" for route in load_routes()]
NOBODYS = {**NAMES, **dict.fromkeys(OBJECTS, "th_none")}


def told(api: Api, call: str, ids: dict[str, str]) -> tuple[int, dict[str, object]]:
    """The answer, but for its request id."""
    method, path = call.split(" ")
    row = EXPECTED[rows_of(call)[0]]
    answer = api.call(method, addressed(concrete(path, ids), row), row.body)
    assert isinstance(answer.json, dict)
    return answer.status_code, {name: value for name, value in answer.json.items() if name != "request_id"}


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.HOST])
def test_an_id_of_another_workspace_is_answered_as_one_that_is_not_there(
    api: Apis, world: World, role: Role
) -> None:
    theirs = dict(make_places(world, "alice").own)
    assert world.workspace != ELSEWHERE
    stranger = api("alice", role, workspace=ELSEWHERE, session_id="ses_elsewhere")  # the same name elsewhere
    found = 0
    for call in CALLS:
        if has_object(call):
            answer = told(stranger, call, theirs)
            assert answer == told(stranger, call, NOBODYS), call
            if EXPECTED[rows_of(call)[0]].grant(role) != "no" and "{session_id}" not in call:
                assert (answer[0], answer[1]["code"]) == (404, "NOT_FOUND"), call
                found += 1
    assert found >= 7


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.AUDITOR])
def test_no_list_shows_what_is_another_workspaces(api: Apis, world: World, role: Role) -> None:
    make_places(world, "alice")
    lists = [route for route in load_routes() if route.method == "GET" and not has_object(route.path)]
    stranger = api("alice", role, workspace="default")
    asked = 0
    for route in lists:
        row = EXPECTED[rows_of(f"GET {route.path}")[0]]
        answer = stranger.get(addressed(concrete(route.path, NAMES), row))
        assert answer.status_code == 200, route.path
        said = answer.get_data(as_text=True)
        assert "ws_1" not in said, route.path
        assert "ses_carol" not in said, route.path
        if "items" in route.answer.model_fields and route.path != "/v1/hosts":  # hosts serve every workspace
            assert isinstance(answer.json, dict)
            assert answer.json["items"] == [], route.path
            asked += 1
    assert asked >= 7


def test_what_is_asked_for_elsewhere_is_audited_where_the_caller_is_at_home(
    api: Apis, world: World, owner: Owner
) -> None:
    theirs = make_places(world, "alice").own
    stranger = api("alice", Role.OPERATOR, workspace=ELSEWHERE)
    assert stranger.get(f"/v1/threads/{theirs['thread_id']}").status_code == 404
    rows = owner.rows("SELECT workspace_id, event, actor FROM audit_events WHERE resource_type = 'security'")
    assert rows == [{"workspace_id": ELSEWHERE, "event": "security.not_found", "actor": "alice"}]


def test_operators_of_another_workspace_change_no_host_and_let_nobody_in_here(
    api: Apis, world: World, owner: Owner
) -> None:
    world.seen_host()
    away = api("boss", Role.OPERATOR, workspace=ELSEWHERE)
    for method, path, body in (
        ("PUT", "/v1/hosts/local", {"draining": True, "reason": "x"}),
        ("POST", "/v1/tokens", {"agent_id": "eve", "workspace_id": "ws_1"}),
        ("POST", "/v1/tokens", {"agent_id": "eve", "workspace_id": "default", "role": "operator"}),
    ):
        answer = away.call(method, path, body)
        assert answer.json is not None
        assert (answer.status_code, answer.json["code"]) == (403, "OUT_OF_SCOPE_WORKSPACE"), path
    assert owner.rows("SELECT 1 FROM agents WHERE agent_id = 'eve'") == []
    assert {call_of(name) for name in EXPECTED} >= set(CALLS)
