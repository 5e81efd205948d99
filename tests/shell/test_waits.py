"""What a wake waits for, and that it says so: a breaker, a pause, the rate, the host, the seat, a listener."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from bridge.commands.move_cursor import move_cursor
from bridge.commands.note_listening import note_listening
from bridge.commands.pause_scope import pause_scope
from bridge.commands.put_agent import put_agent
from bridge.commands.resume_scope import resume_scope
from bridge.commands.touch_wake import touch_wake
from bridge.core.caller import Caller
from bridge.core.states import Role
from bridge.core.wake_events import Wake
from tests.support.world import TEST_POLICY, WORKSPACE, Clock, FixedPolicies, World


@pytest.fixture
def thread(world: World, clock: Clock) -> str:
    """A thread of alice and bob, whose session is live."""
    del clock
    world.live("bob")
    return world.thread("alice", "bob")


@pytest.fixture
def operator(world: World) -> Caller:
    """Somebody who may pause."""
    return world.caller("olivia", Role.OPERATOR)


def fail(world: World, clock: Clock, thread: str) -> str:
    """A wake that fails: the line is taken and nobody reads."""
    wake_id = world.pending(thread)
    world.waiting(wake_id)
    clock.set(world.wake(wake_id)["due_at"])
    assert world.advance(wake_id).wake.state == "failed"
    return wake_id


def test_the_wakes_of_an_unreachable_agent_wait_and_one_of_them_probes(
    world: World, clock: Clock, thread: str
) -> None:
    fail(world, clock, thread)
    failed_at = clock.now
    agent = world.owner.one("SELECT * FROM agents WHERE agent_id = 'bob'")
    assert (agent["failures"], agent["unreachable_since"]) == (1, failed_at)
    assert agent["probe_at"] == failed_at + timedelta(seconds=60)
    other = world.thread("alice", "bob")
    world.gateway.take()
    one, two = world.pending(thread), world.pending(other)
    assert world.gateway.take() == [], "nothing is due"
    for wake_id in (one, two):
        row = world.wake(wake_id)
        assert (row["reason"], row["due_at"]) == ("unreachable", agent["probe_at"])
    clock.set(agent["probe_at"])
    assert world.advance(one).probe is not None
    moved = world.owner.value("SELECT probe_at FROM agents WHERE agent_id = 'bob'")
    assert moved == clock.now + timedelta(seconds=120)
    assert world.advance(two).probe is None
    assert (world.wake(two)["reason"], world.wake(two)["due_at"]) == ("unreachable", moved)


def test_the_breaker_stays_open_for_longer_after_each_failure(
    world: World, clock: Clock, thread: str
) -> None:
    opened: list[float] = []
    for _ in range(4):
        wake_id = world.pending(thread)
        clock.set(world.wake(wake_id)["due_at"])
        world.waiting(wake_id)
        clock.set(world.wake(wake_id)["due_at"])
        world.advance(wake_id)
        probe_at = world.owner.value("SELECT probe_at FROM agents WHERE agent_id = 'bob'")
        opened.append((probe_at - clock.now).total_seconds())
    assert opened == [60, 120, 240, 480]


def test_any_sign_of_life_closes_the_breaker_and_rings_what_waits(
    world: World, clock: Clock, thread: str
) -> None:
    fail(world, clock, thread)
    wake_id = world.pending(thread)
    clock.advance(1)
    world.gateway.take()
    world.post(thread, "bob", "I am back")
    assert world.owner.value("SELECT probe_at FROM agents WHERE agent_id = 'bob'") is None
    assert wake_id in [ring.row_id for ring in world.gateway.take()]
    assert world.wake(wake_id)["due_at"] == clock.now


def test_a_failed_wake_keeps_what_was_never_offered_behind_the_breaker(
    world: World, clock: Clock, thread: str
) -> None:
    wake_id = world.pending(thread)
    world.waiting(wake_id)
    world.post(thread)
    clock.set(world.wake(wake_id)["due_at"])
    world.advance(wake_id)
    following = world.open_wake(thread, "bob")
    assert following is not None
    assert (following["target_seq"], following["reason"]) == (2, "unreachable")
    assert following["due_at"] == clock.now + timedelta(seconds=60)


def test_a_pause_is_read_at_the_claim_and_before_touching(
    world: World, clock: Clock, thread: str, operator: Caller
) -> None:
    wake_id = world.pending(thread)
    for scope in ("all", "workspace", "host:local", "agent:bob", f"thread:{thread}", "runtime:pty"):
        pause_scope(world.deps, operator, scope, "maintenance")
        world.advance(wake_id)
        row = world.wake(wake_id)
        assert (row["state"], row["reason"], row["fence"]) == ("pending", "paused", 0), scope
        resume_scope(world.deps, operator, scope, "done")
        clock.set(world.wake(wake_id)["due_at"])
    assert world.advance(wake_id).probe is not None
    pause_scope(world.deps, operator, "agent:bob", "wait")
    waits = touch_wake(world.deps, WORKSPACE, wake_id, fence=1)
    assert isinstance(waits, Wake)
    assert (waits.reason, waits.tried.live) == ("paused", 0)
    pause_scope(world.deps, operator, "agent:carol", "another one's")
    resume_scope(world.deps, operator, "agent:bob", "go")
    clock.set(world.wake(wake_id)["due_at"])
    assert world.advance(wake_id).probe is not None


def test_more_wakes_a_minute_than_the_policy_allows_wait(
    world: World, clock: Clock, thread: str, policies: FixedPolicies
) -> None:
    policies.policy = dataclasses.replace(TEST_POLICY, wakes_per_minute_max=2)
    for seq in (1, 2):
        wake_id = world.pending(thread)
        world.waiting(wake_id)
        clock.advance(15)
        move_cursor(world.deps, world.caller("bob"), thread, seq)
    third = world.pending(thread)
    clock_before = clock.now
    world.advance(third)
    assert world.wake(third)["reason"] == "rate"
    for _ in range(20):
        clock.set(world.wake(third)["due_at"])
        if world.advance(third).probe is not None:
            break
    assert (clock.now - clock_before).total_seconds() == pytest.approx(30, abs=TEST_POLICY.recheck_s)


def test_a_host_that_is_not_seen_is_waited_for(world: World, clock: Clock, thread: str) -> None:
    wake_id = world.pending(thread)
    world.owner.run("UPDATE hosts SET seen_at = :at", at=clock.now - timedelta(seconds=20))
    world.advance(wake_id)
    assert world.wake(wake_id)["reason"] == "host"
    world.owner.run("UPDATE hosts SET seen_at = :at", at=clock.now)
    clock.advance(TEST_POLICY.recheck_s)
    assert world.advance(wake_id).probe is not None


def test_an_agent_without_a_session_has_its_seat_waited_for_and_then_an_operator_is_told(
    world: World, clock: Clock, thread: str
) -> None:
    nobody = world.thread("alice", "carol", thread_id="th_carol")
    wake_id = world.pending(nobody)
    started = clock.now
    for _ in range(50):
        world.advance(wake_id)
        if world.wake(wake_id)["state"] == "failed":
            break
        assert world.wake(wake_id)["reason"] == "seat"
        clock.set(world.wake(wake_id)["due_at"])
    assert (clock.now - started).total_seconds() == TEST_POLICY.seat_wait_s
    assert "has no session" in world.wake(wake_id)["why"]
    assert world.owner.value("SELECT count(*) FROM notices WHERE cause = 'wake_failed:carol'") == 2
    assert thread != nobody


def test_a_listener_gets_a_grace_before_anything_rings_unless_it_is_urgent(
    world: World, clock: Clock, thread: str
) -> None:
    note_listening(world.deps, world.caller("bob"), for_s=15.0)
    world.gateway.take()
    quiet = world.pending(thread)
    row = world.wake(quiet)
    assert (row["reason"], row["rung_until"]) == ("listening", None)
    assert row["due_at"] == clock.now + timedelta(seconds=TEST_POLICY.listen_grace_s)
    other = world.thread("alice", "bob")
    loud = world.post(other, urgent=True).wakes[0].wake_id
    assert [ring.row_id for ring in world.gateway.take()] == [loud]
    clock.advance(20)
    late = world.post(world.thread("alice", "bob")).wakes[0].wake_id
    assert world.wake(late)["reason"] == "first"


def test_notices_of_one_cause_are_one_row_with_a_count(world: World, clock: Clock, thread: str) -> None:
    fail(world, clock, thread)
    second = world.pending(thread)
    clock.set(world.wake(second)["due_at"])
    world.waiting(second)
    clock.set(world.wake(second)["due_at"])
    world.advance(second)
    rows = world.owner.rows("SELECT audience, count, last_at FROM notices ORDER BY audience")
    assert [(row["audience"], row["count"]) for row in rows] == [("*operators", 2), ("alice", 2)]
    assert rows[0]["last_at"] == clock.now


def test_a_disabled_agent_is_not_woken_until_it_is_enabled_again(
    world: World, clock: Clock, thread: str, operator: Caller
) -> None:
    wake_id = world.pending(thread)
    put_agent(world.deps, operator, "bob", disabled=True)
    waits = world.advance(wake_id).wake
    assert (waits.state, waits.reason, waits.tried.live) == ("pending", "paused", 0)
    put_agent(world.deps, operator, "bob", disabled=False)
    clock.set(waits.due_at)
    assert world.advance(wake_id).wake.state == "delivering"
