"""What could leave an acknowledged message unoffered although its agent lives: each way is closed."""

from __future__ import annotations

import dataclasses

from bridge.commands.detach_session import detach_session
from bridge.commands.force_wake import force_wake
from bridge.commands.move_cursor import move_cursor
from bridge.commands.put_agent import put_agent
from bridge.commands.remove_participant import remove_participant
from bridge.commands.retry_wake import retry_wake
from bridge.commands.set_thread_status import set_thread_status
from bridge.commands.trigger_wake import trigger_wake
from bridge.core.states import Evidence, Role, ThreadStatus
from tests.support.world import TEST_POLICY, Clock, FixedPolicies, World


def test_a_try_that_only_looked_and_found_nothing_told_of_no_other_wake(world: World, clock: Clock) -> None:
    world.live("bob")
    first, second = world.thread("alice", "bob"), world.thread("alice", "bob")
    lead = world.pending(first)
    world.waiting(lead, Evidence.UNVERIFIED)
    clock.set(world.wake(lead)["due_at"])
    world.advance(lead)
    rider = world.pending(second)
    clock.set(world.wake(lead)["due_at"])
    begun = world.touching(lead)
    assert not begun.attempt.may_type
    world.settle(begun, Evidence.ABSENT)
    row = world.wake(rider)
    assert (row["state"], row["handed"], row["offered_seq"]) == ("pending", False, 0)


def test_a_try_that_only_looked_and_found_nothing_offers_nothing_new(world: World, clock: Clock) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob")
    wake_id = world.pending(thread)
    world.waiting(wake_id, Evidence.UNVERIFIED)
    world.post(thread)
    for _ in range(2):
        clock.set(world.wake(wake_id)["due_at"])
        world.advance(wake_id)
    world.settle(world.touch(wake_id), Evidence.ABSENT)
    assert world.wake(wake_id)["offered_seq"] == 1


def test_a_terminal_that_came_back_under_its_sessions_name_is_typed_into(world: World, clock: Clock) -> None:
    term = world.live("bob")
    wake_id = world.pending(world.thread("alice", "bob"))
    world.waiting(wake_id, Evidence.UNVERIFIED)
    detach_session(world.deps, world.workspace, "ses_bob", term)
    world.live("bob")
    clock.advance(1)
    begun = world.touching(wake_id)
    assert (begun.attempt.may_type, begun.attempt.look_first) == (True, True)


def test_a_later_message_is_not_held_back_by_an_earlier_ones_delay(world: World, clock: Clock) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob")
    wake_id = world.post(thread, delay_s=7 * 86_400.0).wakes[0].wake_id
    clock.advance(1)
    assert world.post(thread).wakes[0].wake_id == wake_id
    row = world.wake(wake_id)
    assert (row["due_at"] - clock.now).total_seconds() <= 0
    assert (row["dies_at"] - clock.now).total_seconds() == TEST_POLICY.wake_life_s_max
    assert world.advance(wake_id).probe is not None


def test_a_trigger_is_not_held_back_by_a_messages_delay(world: World, clock: Clock) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob")
    wake_id = world.post(thread, delay_s=7 * 86_400.0).wakes[0].wake_id
    clock.advance(1)
    trigger_wake(world.deps, world.caller("alice"), thread, target_agent_id="bob", reason="now")
    assert world.advance(wake_id).probe is not None


def test_a_delayed_message_does_not_move_what_is_already_on_its_way(world: World, clock: Clock) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob")
    wake_id = world.pending(thread)
    before = world.wake(wake_id)
    clock.advance(1)
    world.post(thread, delay_s=600.0)
    after = world.wake(wake_id)
    assert (after["due_at"], after["dies_at"]) == (before["due_at"], before["dies_at"])


def unreachable(world: World, clock: Clock, thread: str) -> str:
    wake_id = world.pending(thread)
    world.waiting(wake_id)
    clock.advance(TEST_POLICY.live.read_timeout_s)
    assert world.advance(wake_id).wake.state == "failed"
    assert world.owner.value("SELECT probe_at FROM agents WHERE agent_id = 'bob'") is not None
    return wake_id


def test_a_post_by_an_unreachable_agent_closes_its_breaker_also_when_nothing_waits(
    world: World, clock: Clock
) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob")
    unreachable(world, clock, thread)
    world.post(thread, "bob")
    assert world.owner.value("SELECT probe_at FROM agents WHERE agent_id = 'bob'") is None


def test_a_cursor_that_moves_closes_the_breaker(world: World, clock: Clock) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob")
    unreachable(world, clock, thread)
    move_cursor(world.deps, world.caller("bob"), thread, 1)
    assert world.owner.value("SELECT probe_at FROM agents WHERE agent_id = 'bob'") is None


def test_a_retry_of_a_failed_wake_is_the_breakers_probe(world: World, clock: Clock) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob")
    wake_id = unreachable(world, clock, thread)
    again = retry_wake(world.deps, world.caller("root", Role.OPERATOR), wake_id)
    assert world.advance(again).probe is not None


def test_force_goes_through_an_open_breaker(world: World, clock: Clock) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob")
    unreachable(world, clock, thread)
    wake_id = world.pending(thread)
    assert world.wake(wake_id)["reason"] == "unreachable"
    force_wake(world.deps, world.caller("root", Role.OPERATOR), wake_id, "now")
    assert world.advance(wake_id).probe is not None


def test_who_is_taken_out_while_it_is_typed_has_not_acked(world: World, clock: Clock) -> None:
    del clock
    world.live("bob")
    thread = world.thread("alice", "bob")
    begun = world.touching(world.pending(thread))
    remove_participant(world.deps, world.caller("root", Role.OPERATOR), thread, "bob")
    assert world.settle(begun).state == "cancelled"
    assert world.open_wake(thread, "bob") is None


def test_unblocking_wakes_for_a_prompt_that_was_cancelled_too(world: World, clock: Clock) -> None:
    del clock
    world.live("bob")
    thread = world.thread("alice", "bob")
    root = world.caller("root", Role.OPERATOR)
    trigger_wake(world.deps, root, thread, target_agent_id="bob", reason="r", trigger_prompt="do it")
    set_thread_status(world.deps, root, thread, status=ThreadStatus.BLOCKED, reason="wait")
    assert world.open_wake(thread, "bob") is None
    set_thread_status(world.deps, root, thread, status=ThreadStatus.ACTIVE, reason="on")
    assert world.open_wake(thread, "bob") is not None
    assert world.open_wake(thread, "alice") is None


def test_history_names_the_policy_that_decided(world: World, clock: Clock, policies: FixedPolicies) -> None:
    del clock
    world.live("bob")
    wake_id = world.pending(world.thread("alice", "bob"))
    policies.policy = dataclasses.replace(TEST_POLICY, version=7)
    world.advance(wake_id)
    versions = world.owner.rows("SELECT policy_version FROM wake_events ORDER BY n")
    assert [row["policy_version"] for row in versions] == [1, 7]


def test_a_wake_follows_its_agent_to_another_host(world: World, clock: Clock) -> None:
    wake_id = world.pending(world.thread("alice", "bob"))
    assert world.wake(wake_id)["host"] == "local"
    put_agent(world.deps, world.caller("root", Role.OPERATOR), "bob", host="b2")
    assert world.wake(wake_id)["host"] == "b2"
    del clock


def test_a_wake_goes_to_the_host_that_holds_its_agents_session(world: World, clock: Clock) -> None:
    del clock
    wake_id = world.pending(world.thread("alice", "bob"))
    world.live("bob", host="b3")
    assert world.wake(wake_id)["host"] == "b3"
    assert world.open_wake(world.thread("alice", "bob", thread_id="th_x"), "bob") is None
    assert world.wake(world.pending("th_x"))["host"] == "b3"
