"""Runs over HTTP: listed, read, ended by an operator; by nobody else, and never another workspace's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from bridge.core.policy import RungLimits
from bridge.core.run import Ended, Proved
from bridge.core.states import Role, RunResult
from tests.support.web import Api
from tests.support.world import TEST_POLICY, Clock, FixedPolicies, World

Apis = Callable[..., Api]


def ok(answer: TestResponse) -> Any:  # noqa: ANN401  JSON, a problem's too
    return json.loads(answer.data)


LADDER = replace(
    TEST_POLICY,
    resume=RungLimits(tries=2, accept_timeout_s=20.0, read_timeout_s=30.0),
    spawn=RungLimits(tries=1, accept_timeout_s=20.0, read_timeout_s=30.0),
    kill_after_s=120.0,
)


@pytest.fixture
def wake_id(world: World, clock: Clock, policies: FixedPolicies) -> str:
    """A wake for bob, whose session can be resumed."""
    del clock
    policies.policy = LADDER
    world.dormant("bob")
    return world.pending(world.thread("alice", "bob"))


def test_a_run_is_told_of_from_its_start_to_its_end(
    api: Apis, world: World, clock: Clock, wake_id: str
) -> None:
    boss = api("olivia", Role.OPERATOR)
    assert ok(boss.get("/v1/runs"))["items"] == []
    begun = world.started(wake_id)
    clock.advance(10)
    (run,) = ok(boss.get("/v1/runs"))["items"]
    assert (run["agent_id"], run["session_id"], run["rung"], run["host"]) == (
        "bob",
        "ses_bob",
        "resume",
        "local",
    )
    assert (run["state"], run["pid"], run["shim_pid"], run["slot"]) == ("running", 101, 100, 1)
    assert (run["wakes"], run["running_s"], run["kill_in_s"]) == ([wake_id], 10.0, 110.0)
    assert (run["proved_at"], run["ended_at"], run["result"]) == (None, None, None)
    world.move(begun, Proved("native-1"))
    clock.advance(5)
    world.move(begun, Ended(RunResult.CRASHED, 3, "exit status 3"))
    clock.advance(60)
    run = ok(boss.get(f"/v1/runs/{run['run_id']}"))
    assert (run["state"], run["result"], run["exit_status"], run["why"]) == (
        "ended",
        "crashed",
        3,
        "exit status 3",
    )
    assert (run["running_s"], run["kill_in_s"], run["native_id"]) == (15.0, None, "native-1")


def test_runs_are_found_by_state_agent_host_and_wake_and_come_in_pages(
    api: Apis, world: World, clock: Clock, wake_id: str
) -> None:
    boss = api("olivia", Role.OPERATOR)
    world.move(world.started(wake_id), Ended(RunResult.CRASHED, 1, "no"))
    clock.advance(2)
    world.started(wake_id)

    def states(**query: object) -> list[str]:
        return [run["state"] for run in ok(boss.get("/v1/runs", **query))["items"]]

    assert states() == ["running", "ended"], "the newest first"
    assert states(state="ended") == ["ended"]
    assert states(agent="bob", host="local", wake=wake_id) == ["running", "ended"]
    assert states(agent="carol") == states(host="elsewhere") == states(wake="wake_x") == []
    first = ok(boss.get("/v1/runs", limit=1))
    assert [run["state"] for run in first["items"]] == ["running"]
    second = ok(boss.get("/v1/runs", limit=1, cursor=first["next_cursor"]))
    assert ([run["state"] for run in second["items"]], second["next_cursor"]) == (["ended"], None)
    assert ok(boss.get("/v1/runs", state="dead"))["code"] == "INVALID_ARGUMENT"


def test_an_operator_ends_a_run_once_and_says_why(
    api: Apis, world: World, clock: Clock, wake_id: str
) -> None:
    boss = api("olivia", Role.OPERATOR)
    begun = world.started(wake_id)
    path = f"/v1/runs/{world.run(begun)['run_id']}"
    killed = boss.post(f"{path}/kill", {"reason": "it eats the disk"})
    assert (killed.status_code, ok(killed)["state"]) == (200, "ending")
    assert ok(killed)["why"] == "ended by olivia: it eats the disk"
    clock.advance(1)
    again = ok(boss.post(f"{path}/kill", {"reason": "again"}))
    assert (again["state"], again["why"]) == ("ending", "ended by olivia: it eats the disk")
    world.move(begun, Ended(RunResult.KILLED, -15))
    late = boss.post(f"{path}/kill", {"reason": "again"})
    assert (late.status_code, ok(late)["code"]) == (409, "INVALID_TRANSITION")
    assert "has ended (killed: ended by olivia: it eats the disk)" in ok(late)["detail"]
    audited = world.owner.rows("SELECT event, actor FROM audit_events WHERE resource_type = 'run' ORDER BY n")
    assert ("run.ending", "olivia") in [(row["event"], row["actor"]) for row in audited]
    assert ok(boss.post(f"{path}/kill", {}))["code"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("role", "reads", "kills"),
    [
        (Role.PARTICIPANT, 403, 403),
        (Role.COORDINATOR, 200, 403),
        (Role.AUDITOR, 200, 403),
        (Role.OPERATOR, 200, 200),
        (Role.HOST, 403, 403),
    ],
)
def test_who_reads_runs_and_who_ends_them(
    api: Apis, world: World, wake_id: str, role: Role, reads: int, kills: int
) -> None:
    path = f"/v1/runs/{world.run(world.started(wake_id))['run_id']}"
    caller = api("somebody", role)
    assert [caller.get("/v1/runs").status_code, caller.get(path).status_code] == [reads, reads]
    assert caller.post(f"{path}/kill", {"reason": "x"}).status_code == kills


def test_another_workspaces_runs_are_not_there(api: Apis, world: World, wake_id: str) -> None:
    path = f"/v1/runs/{world.run(world.started(wake_id))['run_id']}"
    eve = api("eve", Role.OPERATOR, workspace="ws_2")
    assert ok(eve.get("/v1/runs"))["items"] == []
    assert eve.get(path).status_code == 404
    assert eve.post(f"{path}/kill", {"reason": "x"}).status_code == 404
