"""An agent that cannot be started, or whose host moved: what its wakes cost, and what its breaker holds back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.commands.move_cursor import move_cursor
from bridge.core.policy import Policy, RungLimits
from bridge.core.run import Ended, Proved
from bridge.core.states import Evidence, RunResult
from bridge.db.agent_store import ProbeTaken, take_probe
from tests.support.world import TEST_POLICY, Clock, FixedPolicies, World

LADDER = replace(
    TEST_POLICY,
    resume=RungLimits(tries=2, accept_timeout_s=20.0, read_timeout_s=30.0),
    spawn=RungLimits(tries=1, accept_timeout_s=20.0, read_timeout_s=30.0),
)
CRASH = Ended(RunResult.CRASHED, 1, "exit status 1")


@pytest.fixture
def thread(world: World, clock: Clock, policies: FixedPolicies) -> str:
    """Alice writes to bob, whose process has ended and whose session can be resumed."""
    del clock
    policies.policy = LADDER
    world.dormant("bob")
    return world.thread("alice", "bob")


def test_a_dead_agent_in_a_busy_thread_costs_a_few_starts_and_one_notice(
    world: World, clock: Clock, policies: FixedPolicies
) -> None:
    policies.policy = Policy(turns_max=10_000)
    world.dormant("bob")
    thread_id = world.thread("alice", "bob")
    for _ in range(600):
        world.post(thread_id)
        for wake_id in _due(world):
            advanced = world.advance(wake_id)
            if advanced.probe is not None:
                begun = world.touch(wake_id)
                world.settle(begun, Evidence.UNVERIFIED)
                world.move(begun, CRASH)
        clock.advance(1)
        world.seen_host()
    started = {
        row["rung"]: row["n"]
        for row in world.owner.rows("SELECT rung, count(*) AS n FROM runs GROUP BY rung ORDER BY rung")
    }
    assert started == {"resume": 3, "spawn": 4}, "a ladder, then what is left of one after 1, 2 and 4 minutes"
    notices = world.owner.rows("SELECT audience, count FROM notices WHERE cause LIKE 'wake_failed:%'")
    assert sorted(row["audience"] for row in notices) == ["*operators", "alice"]


def test_thirty_wakes_of_a_dead_agent_in_as_many_threads_are_not_thirty_spawns(
    world: World, clock: Clock, policies: FixedPolicies
) -> None:
    policies.policy = Policy()
    world.startable("bob")
    for _ in range(30):
        world.post(world.thread("alice", "bob"))
    for _ in range(120):
        for wake_id in _due(world):
            advanced = world.advance(wake_id)
            if advanced.probe is not None:
                begun = world.touch(wake_id)
                world.settle(begun, Evidence.UNVERIFIED)
                world.move(begun, CRASH)
        clock.advance(1)
        world.seen_host()
    assert world.owner.value("SELECT count(*) FROM runs") == 2, (
        "one for all, and one for the probe after a minute"
    )
    agent = world.owner.one("SELECT * FROM agents WHERE agent_id = 'bob'")
    assert agent["failures"] == 2
    assert agent["unreachable_since"] is not None


def test_what_no_process_was_told_of_is_offered_when_its_program_is_mended(
    world: World, clock: Clock, thread: str
) -> None:
    wake_id = world.pending(thread)
    for _ in range(3):
        clock.set(max(clock.now, world.wake(wake_id)["due_at"]))
        world.move(world.started(wake_id), CRASH)
    clock.advance(LADDER.seat_wait_s)
    world.advance(wake_id)
    assert world.wake(wake_id)["state"] == "failed"
    following = world.open_wake(thread, "bob")
    assert following is not None
    assert (following["reason"], following["target_seq"]) == ("unreachable", 1)
    clock.set(following["due_at"])
    begun = world.started(str(following["wake_id"]))
    world.move(begun, Proved("native-1"))
    move_cursor(world.deps, world.caller("bob"), thread, 1)
    assert world.wake(str(following["wake_id"]))["state"] == "acked"


def test_one_wake_takes_the_probe_and_another_that_saw_it_free_is_judged_again(
    world: World, clock: Clock, thread: str
) -> None:
    one, two = world.pending(thread), world.pending(world.thread("alice", "bob"))
    world.owner.run(
        "UPDATE agents SET probe_at = bridge_now(), failures = 1, unreachable_since = bridge_now()"
    )
    seen = clock.now
    assert world.advance(one).probe is not None
    with pytest.raises(ProbeTaken), world.deps.unit(world.workspace) as uow:
        take_probe(uow, "bob", seen, LADDER, seen)
    world.advance(two)
    assert world.wake(two)["reason"] == "unreachable"
    assert world.owner.value("SELECT failures FROM agents WHERE agent_id = 'bob'") == 2


def _due(world: World) -> list[str]:
    rows = world.owner.rows(
        "SELECT wake_id FROM wakes WHERE due_at <= bridge_now() "
        "AND state IN ('pending', 'delivering', 'touching', 'waiting')"
    )
    return [row["wake_id"] for row in rows]


def test_a_wake_in_a_hand_stays_with_that_hands_host_when_its_agent_moves(world: World, thread: str) -> None:
    wake_id = world.pending(thread)
    assert world.advance(wake_id).probe is not None
    world.startable("zoe", host="other")
    world.owner.run("UPDATE agents SET host = 'other' WHERE agent_id = 'bob'")
    world.deps.sign_of_life(world.workspace, "bob")
    assert world.wake(wake_id)["host"] == "local"
    with pytest.raises(AssertionError):
        world.touch(wake_id)  # its session is not here any more
    assert world.wake(wake_id)["host"] == "local"
    world.advance(wake_id)
    assert (world.wake(wake_id)["host"], world.wake(wake_id)["reason"]) == ("other", "fallback")
    begun = world.started(wake_id)
    assert begun.run is not None
    assert begun.run.host == "other"
