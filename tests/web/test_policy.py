"""The policy's calls: read, change, history; who may, and what is refused in which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bridge.core.policy import Policy
from bridge.core.policy_layers import plain
from bridge.core.states import Role
from tests.support.postgres import Owner
from tests.support.web import Api

Apis = Callable[..., Api]
PATH = "/v1/policies/workspace"


@pytest.fixture
def sre(api: Apis) -> Api:
    return api("sre", Role.OPERATOR)


def change(**numbers: Any) -> dict[str, Any]:  # noqa: ANN401  numbers of any kind
    return {"policy": numbers, "reason": "calmer nights"}


def test_with_nothing_stored_every_number_is_told_and_where_it_comes_from(sre: Api) -> None:
    found = sre.get(PATH).json
    assert found is not None
    assert (found["scope"], found["version"], found["author"], found["set"]) == ("workspace", 0, None, {})
    assert found["built_in"] == plain(Policy())
    assert found["policy"].keys() == found["built_in"].keys()
    assert {"live.tries", "hosts", "spawn_beside_live"} <= set(found["sources"])
    assert found["seed"] == "file", "the test's policy is not the built-in one"


def test_a_change_is_answered_read_and_told_in_the_history(sre: Api) -> None:
    done = sre.put(PATH, change(resume={"tries": 0}, hosts=["b", "c"], spawn_beside_live=True, lease_s=30))
    assert done.status_code == 200
    assert done.json is not None
    assert (done.json["version"], done.json["changed"], done.json["author"]) == (1, True, "sre")
    read = sre.get(PATH).json
    assert read == {name: value for name, value in done.json.items() if name != "changed"}
    assert read["set"] == {
        "hosts": ["b", "c"],
        "lease_s": 30.0,
        "resume": {"tries": 0},
        "spawn_beside_live": True,
    }
    sre.put(PATH, change(lease_s=None))
    page = sre.get(f"{PATH}/history", limit=1).json
    assert page is not None
    (newest,) = page["items"]
    assert (newest["version"], newest["reason"]) == (2, "calmer nights")
    assert newest["changes"] == [{"name": "lease_s", "before": 30.0, "after": None}]
    rest = sre.get(f"{PATH}/history", cursor=page["next_cursor"]).json
    assert rest is not None
    assert ([item["version"] for item in rest["items"]], rest["next_cursor"]) == ([1], None)


def test_replace_sets_this_and_nothing_else(sre: Api) -> None:
    sre.put(PATH, change(lease_s=30))
    done = sre.put(PATH, change(recheck_s=7) | {"replace": True}).json
    assert done is not None
    assert done["set"] == {"recheck_s": 7.0}


def test_two_sres_do_not_overwrite_each_other(sre: Api) -> None:
    assert sre.put(PATH, change(lease_s=30) | {"expected_version": 0}).status_code == 200
    late = sre.put(PATH, change(lease_s=40) | {"expected_version": 0})
    assert late.json is not None
    assert (late.status_code, late.json["code"]) == (409, "CONFLICT")
    assert "version 1, not 0" in late.json["detail"]


def test_a_replay_gives_the_first_answer(sre: Api) -> None:
    said = change(lease_s=30) | {"expected_version": 0}
    first = sre.call("PUT", PATH, said, {"Idempotency-Key": "k"})
    sre.put(PATH, change(lease_s=40))
    again = sre.call("PUT", PATH, said, {"Idempotency-Key": "k"})
    assert (again.status_code, again.json, again.headers["Idempotency-Replayed"]) == (200, first.json, "true")
    other = sre.call("PUT", PATH, change(lease_s=50), {"Idempotency-Key": "k"})
    assert other.json is not None
    assert other.json["code"] == "IDEMPOTENCY_CONFLICT"


@pytest.mark.parametrize(
    ("scope", "body", "path"),
    [
        ("workspace", {"policy": {"resme": {"tries": 1}}, "reason": "x"}, "resme"),
        ("workspace", {"policy": {"live": {"tries": "1"}}, "reason": "x"}, "live.tries"),
        ("workspace", {"policy": {"live": {"tries": 10**30}}, "reason": "x"}, "live.tries"),
        ("workspace", {"policy": {"lease_s": 10**39}, "reason": "x"}, "lease_s"),
        ("workspace", {"policy": {"hosts": [1]}, "reason": "x"}, "hosts"),
        ("workspace", {"policy": {"version": 3}, "reason": "x"}, "version"),
        ("workspace", {"policy": {"lease_s": 30}}, "reason"),
        ("workspace", {"policy": [], "reason": "x"}, "policy"),
        ("workspace", {"policy": {}, "reason": "x", "expected_version": -1}, "expected_version"),
        ("workspace", {"policy": {}, "reason": "x", "force": True}, "force"),
        ("agent:bob", {"policy": {"lease_s": 30}, "reason": "x"}, "scope"),
        ("runtime:pty", {"policy": {"lease_s": 30}, "reason": "x"}, "scope"),
        ("thread_type:workflow", {"policy": {"lease_s": 30}, "reason": "x"}, "scope"),
        ("everywhere", {"policy": {"lease_s": 30}, "reason": "x"}, "scope"),
    ],
)
def test_what_is_wrong_is_named_and_not_stored(
    sre: Api, owner: Owner, scope: str, body: dict[str, Any], path: str
) -> None:
    answer = sre.put(f"/v1/policies/{scope}", body)
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (400, "INVALID_ARGUMENT")
    assert answer.json["errors"][0]["path"] == path
    assert owner.value("SELECT count(*) FROM policies") == 0


def test_operators_set_coordinators_and_auditors_read_participants_do_neither(api: Apis) -> None:
    for role, may_read in ((Role.COORDINATOR, True), (Role.AUDITOR, True), (Role.PARTICIPANT, False)):
        for path in (PATH, f"{PATH}/history"):
            assert api("x", role).get(path).status_code == (200 if may_read else 403)
        assert api("x", role).put(PATH, change(lease_s=30)).status_code == 403


def test_a_cursor_of_another_list_is_refused(sre: Api) -> None:
    for cursor in ("x", "WyIyMDMwLTAxLTAxVDAwOjAwOjAwKzAwOjAwIiwgInRoXzEiXQ"):
        answer = sre.get(f"{PATH}/history", cursor=cursor)
        assert answer.json is not None
        assert (answer.status_code, answer.json["code"]) == (400, "INVALID_ARGUMENT")
