"""Hosts over HTTP: who holds them and what they do, and an operator who lets one drain."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bridge.core.states import Role
from bridge.db.host_term import HostTerms
from bridge.db.keeper import Keeping
from bridge.db.uow import Database
from tests.support.postgres import Owner
from tests.support.web import Api
from tests.support.world import World

Apis = Callable[..., Api]
EAST = "/v1/hosts/east"


@pytest.fixture(autouse=True)
def terms(world: World) -> HostTerms:
    """The host `east`, held and seen just now."""
    db: Database = world.deps.db
    terms = HostTerms(db, Keeping(db))
    assert terms.see("east", "machine-1:boot:cafe/w1", "0.1.0", {"codex": ["resume", "spawn"]}) == 1
    terms.open_slots("east")
    return terms


def boss(api: Apis, workspace: str = "default") -> Api:
    return api("boss", Role.OPERATOR, workspace=workspace)


def east(api: Apis, workspace: str = "default") -> dict[str, Any]:
    (found,) = (boss(api, workspace).get("/v1/hosts").json or {})["items"]
    assert isinstance(found, dict)
    return found


def test_a_host_says_who_holds_it_and_what_it_can_start(api: Apis, terms: HostTerms) -> None:
    found = east(api)
    assert (found["host"], found["seen"], found["term"], found["version"]) == ("east", True, 1, "0.1.0")
    assert (found["machine"], found["presets"]) == ("machine-1:boot:cafe", {"codex": ["resume", "spawn"]})
    assert (found["slots_used"], found["slots"], found["runs"]) == (0, 8, 0)
    assert terms.see("east", "machine-1:boot:cafe/w2") == 2
    assert east(api)["taken_at"] > found["taken_at"]


def test_a_host_that_nobody_ever_held_is_listed_too(api: Apis, owner: Owner) -> None:
    owner.run(
        "UPDATE hosts SET holder = NULL, seen_at = NULL, taken_at = NULL, presets = NULL, version = NULL"
    )
    found = east(api)
    assert (found["seen"], found["machine"], found["presets"], found["taken_at"]) == (False, None, {}, None)


def test_slots_are_everybodys_and_runs_only_those_of_the_callers_workspace(
    api: Apis, owner: Owner, world: World
) -> None:
    world.live("bob", host="east")
    attempt = world.touching(world.pending(world.thread("alice", "bob"))).attempt.attempt_id
    owner.run(
        "INSERT INTO runs (run_id, workspace_id, agent_id, session_id, native_id, attempt_id, rung, preset, host,"
        " worker, slot, state, begun_at, kill_at, updated_at) VALUES ('run_1', 'ws_1', 'bob', 'ses_bob', 'n',"
        " :attempt, 'resume', 'line', 'east', 'w', 1, 'running', bridge_now(), bridge_now(), bridge_now())",
        attempt=attempt,
    )
    owner.run("UPDATE slots SET run_id = 'run_1' WHERE host = 'east' AND n = 1")
    mine, others = east(api, "ws_1"), east(api, "ws_2")
    assert (mine["slots_used"], mine["runs"]) == (1, 1)
    assert (others["slots_used"], others["runs"], others["attached_sessions"]) == (1, 0, 0)


def test_an_operator_drains_a_host_and_that_is_audited_once(api: Apis, owner: Owner) -> None:
    for draining in (True, True, False):
        answer = boss(api).put(EAST, {"draining": draining, "reason": "a new kernel"})
        assert answer.json is not None
        assert (answer.status_code, answer.json["draining"]) == (200, draining)
        assert east(api)["draining"] is draining
    events = owner.rows(
        "SELECT workspace_id, actor, before, after FROM audit_events WHERE resource_type = 'host' ORDER BY n"
    )
    assert [(event["before"], event["after"]["draining"]) for event in events] == [
        ({"draining": False}, True),
        ({"draining": True}, False),
    ]
    assert {(event["workspace_id"], event["actor"]) for event in events} == {("default", "boss")}
    assert events[0]["after"]["reason"] == "a new kernel"


@pytest.mark.parametrize(
    ("who", "path", "body", "status", "code"),
    [
        ("operator default", EAST, {"draining": True}, 400, "INVALID_ARGUMENT"),
        ("operator default", EAST, {"draining": "yes", "reason": "x"}, 400, "INVALID_ARGUMENT"),
        ("operator default", "/v1/hosts/west", {"draining": True, "reason": "x"}, 404, "NOT_FOUND"),
        ("operator ws_1", EAST, {"draining": True, "reason": "x"}, 403, "OUT_OF_SCOPE_WORKSPACE"),
        ("coordinator default", EAST, {"draining": True, "reason": "x"}, 403, "FORBIDDEN"),
        ("host default", EAST, {"draining": True, "reason": "x"}, 403, "FORBIDDEN"),
    ],
    ids=str,
)
def test_who_may_not_drain_a_host_is_told_why(
    api: Apis, owner: Owner, who: str, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    role, workspace = who.split()
    name = "host:east" if role == "host" else "boss"
    answer = api(name, Role(role), workspace=workspace).put(path, body)
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (status, code), json.dumps(answer.json)
    assert owner.value("SELECT draining FROM hosts WHERE host = 'east'") is False
