"""The prompt of an attempt over the real database: the threads that it offers, as they stand, and bounded work."""

from __future__ import annotations

import dataclasses

import pytest

from bridge.commands.cancel_wake import cancel_wake
from bridge.commands.move_cursor import move_cursor
from bridge.commands.set_thread_status import set_thread_status
from bridge.commands.trigger_wake import trigger_wake
from bridge.core.errors import NotFound
from bridge.core.prompt import DETAILED_MAX, THREADS_MAX
from bridge.core.states import MessageKind, Role, ThreadStatus
from bridge.queries.prompt import compose_prompt
from tests.support.statements import statements_of
from tests.support.world import TEST_POLICY, Clock, FixedPolicies, World


def begun(world: World, wake_id: str, rung: str = "spawn") -> str:
    """An attempt of that rung, offering all that waits for bob."""
    attempt_id = world.touching(wake_id).attempt.attempt_id
    world.owner.run("UPDATE attempts SET rung = :rung WHERE attempt_id = :id", rung=rung, id=attempt_id)
    return attempt_id


def prompt(world: World, attempt_id: str) -> str:
    return compose_prompt(world.deps, world.workspace, attempt_id)


def unread_threads(world: World, count: int) -> str:
    """So many threads with something unread for bob; gives the first one's wake."""
    world.live("bob")
    wakes = [
        world.post(world.thread("alice", "bob"), "alice", f"message {n}", to=("bob",)).wakes[0].wake_id
        for n in range(count)
    ]
    return wakes[0]


def test_a_spawned_agent_is_told_who_it_is_what_waits_and_what_went_before(world: World) -> None:
    world.live("bob")
    thread = world.thread("alice", bob="executor", carol="reviewer")
    world.post(thread, "alice", "we rebuild the parser")
    decision = {"type": "decision", "text": "we take plan B"}
    world.post(thread, "alice", "", kind=MessageKind.EVENT, event=decision)
    move_cursor(world.deps, world.caller("bob"), thread, 2)
    asked = world.post(thread, "alice", "when is it done?\nsay a day", to_role="executor")
    world.post(thread, "alice", "carol, have a look", to=("carol",))
    finding = {"type": "finding_reported", "finding_id": "f-1", "file": "a.py", "line": 3, "text": "no test"}
    last = world.post(thread, "alice", "", kind=MessageKind.EVENT, event=finding)
    wake = world.open_wake(thread, "bob")
    assert wake is not None
    text = prompt(world, begun(world, wake["wake_id"]))
    assert "You are the agent bob." in text
    assert "as session ses_bob" in text
    assert (
        f"bridge read {thread} --since 2 --ack  # 2 unread for you, seq 3..{last.seq}; read up to {last.seq}\n"
        in text
    )
    assert f'Thread {thread}: active, you as "executor", {last.seq} messages\n> t\n' in text
    assert (
        f"Open question to you in {thread}, seq 3, from alice, MESSAGE_ID {asked.message_id}:\n"
        "> when is it done?\n> say a day\n" in text
    )
    assert "\n> a.py:3 no test\n" in text
    assert "\n> we take plan B\n" in text
    assert "\n> we rebuild the parser\n" in text


def test_a_resumed_agent_is_told_what_is_new_alone(world: World) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob")
    world.post(thread, "alice", "we rebuild the parser")
    wake_id = world.pending(thread)
    text = prompt(world, begun(world, wake_id, "resume"))
    assert "it resumed your session ses_bob" in text
    assert "# 2 unread for you, seq 1..2; read up to 2" in text
    assert "we rebuild the parser" not in text


def test_a_trigger_without_a_message_says_how_far_to_read(world: World) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob", "carol")
    world.post(thread, "alice", "for carol", to=("carol",))
    trigger_wake(world.deps, world.caller("alice"), thread, target_agent_id="bob", reason="r")
    wake = world.open_wake(thread, "bob")
    assert wake is not None
    assert "--since 0 --ack  # 0 unread for you; read up to 1\n" in prompt(
        world, begun(world, wake["wake_id"])
    )


def test_what_was_read_meanwhile_is_not_offered_any_more(world: World) -> None:
    wake_id = unread_threads(world, 2)
    attempt_id = begun(world, wake_id)
    thread = world.wake(wake_id)["thread_id"]
    move_cursor(world.deps, world.caller("bob"), thread, 1)
    text = prompt(world, attempt_id)
    assert thread not in text
    assert text.count("\nbridge read th_") == 1


def test_a_wake_that_was_cancelled_meanwhile_is_not_offered_any_more(world: World) -> None:
    attempt_id = begun(world, unread_threads(world, 2))
    rider = world.owner.one("SELECT wake_id, thread_id FROM wakes WHERE state = 'pending'")
    assert rider["thread_id"] in prompt(world, attempt_id)
    cancel_wake(world.deps, world.caller("alice"), rider["wake_id"], "not needed")
    assert rider["thread_id"] not in prompt(world, attempt_id)


def test_a_thread_that_was_blocked_and_goes_on_says_why(world: World) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob")
    world.post(thread)
    root = world.caller("root", Role.OPERATOR)
    set_thread_status(world.deps, root, thread, status=ThreadStatus.BLOCKED, reason="wait")
    set_thread_status(world.deps, root, thread, status=ThreadStatus.ACTIVE, reason="the plan is settled")
    wake = world.open_wake(thread, "bob")
    assert wake is not None
    text = prompt(world, begun(world, wake["wake_id"], "resume"))
    assert "by root\n> root set the thread to active: the plan is settled\n" in text


def test_the_wake_that_was_due_comes_first_then_the_oldest(world: World, clock: Clock) -> None:
    unread_threads(world, 3)
    clock.advance(1)
    wake_id = world.pending(world.thread("alice", "bob", thread_id="th_last"))
    text = prompt(world, begun(world, wake_id))
    lines = [line.split()[2] for line in text.splitlines() if line.startswith("bridge read ")]
    assert lines == ["th_last", *sorted(lines[1:])]
    assert len(lines) == 4


def test_two_hundred_threads_cost_no_more_than_twenty(world: World, policies: FixedPolicies) -> None:
    policies.policy = dataclasses.replace(TEST_POLICY, prompt_bytes_max=8192)
    attempt_id = begun(world, unread_threads(world, 200))
    with statements_of(world.deps) as statements:
        text = prompt(world, attempt_id)
    assert text.count("\nbridge read th_") == THREADS_MAX
    assert "and 180 more threads: see bridge inbox" in text
    assert text.count("\nThread th_") == DETAILED_MAX
    assert len(text.encode()) <= 8192
    assert len(statements) <= 5 + 9 * DETAILED_MAX


def test_the_policys_budget_holds(world: World, policies: FixedPolicies) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob")
    for number in range(20):
        world.post(thread, "alice", f"{number}: " + "ü" * 3000, to=("bob",))
    wake = world.open_wake(thread, "bob")
    assert wake is not None
    attempt_id = begun(world, wake["wake_id"])
    for most in (2048, 4096, 8192):
        policies.policy = dataclasses.replace(TEST_POLICY, prompt_bytes_max=most)
        text = prompt(world, attempt_id)
        assert len(text.encode()) <= most
        assert f"(Cut to fit {most} bytes: " in text
        assert f"bridge read {thread} --since 0 --ack" in text


def test_another_workspaces_attempt_is_not_there(world: World) -> None:
    attempt_id = begun(world, unread_threads(world, 1))
    for workspace, name in (("ws_2", attempt_id), (world.workspace, "nothing")):
        with pytest.raises(NotFound):
            compose_prompt(world.deps, workspace, name)
