"""How far the proof of a message goes when processes are started to deliver it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.commands.move_cursor import move_cursor
from bridge.core.policy import RungLimits
from bridge.core.run import Ended, Proved
from bridge.core.states import Evidence, Role, RunResult
from bridge.queries.messages import RecipientReceipt, receipts
from bridge.queries.wake_story import explain_wake
from tests.support.world import TEST_POLICY, Clock, FixedPolicies, World

CRASH = Ended(RunResult.CRASHED, 3, "exit status 3")


@pytest.fixture
def thread(world: World, clock: Clock, policies: FixedPolicies) -> str:
    """Alice writes to bob, whose session can be resumed."""
    del clock
    policies.policy = replace(
        TEST_POLICY,
        resume=RungLimits(tries=2, accept_timeout_s=20.0, read_timeout_s=30.0),
        spawn=RungLimits(tries=1, accept_timeout_s=20.0, read_timeout_s=30.0),
        seat_wait_s=0.0,
    )
    world.dormant("bob")
    return world.thread("alice", "bob")


def receipt(world: World, thread: str, seq: int = 1) -> RecipientReceipt:
    (found,) = receipts(world.deps, world.caller("alice"), thread, seq).items
    return found


def test_a_message_is_offered_by_a_process_once_that_showed_whose_it_is_and_then_read_and_answered(
    world: World, clock: Clock, thread: str
) -> None:
    begun = world.started(world.pending(thread))
    found = receipt(world, thread)
    assert (found.receipt, found.offered_at, found.waits_for) == ("stored", None, None)
    clock.advance(3)
    world.move(begun, Proved("native-1"))
    found = receipt(world, thread)
    assert (found.receipt, found.offered_at, found.accepted_at) == ("accepted", clock.now, clock.now)
    move_cursor(world.deps, world.caller("bob"), thread, 1)
    assert receipt(world, thread).receipt == "read"
    message_id = receipts(world.deps, world.caller("alice"), thread, 1).message_id
    world.post(thread, "bob", "done", in_reply_to=message_id)
    assert receipt(world, thread).receipt == "answered"


def test_a_process_that_could_not_be_started_offered_nothing_and_the_failure_says_why(
    world: World, clock: Clock, thread: str
) -> None:
    wake_id = world.pending(thread)
    for _ in range(3):
        clock.set(max(clock.now, world.wake(wake_id)["due_at"]))
        world.move(world.started(wake_id), CRASH)
        assert receipt(world, thread).offered_at is None
    clock.set(world.wake(wake_id)["due_at"])
    world.advance(wake_id)
    found = receipt(world, thread)
    assert world.wake(wake_id)["state"] == "failed"
    assert "exit status 3" in world.wake(wake_id)["why"]
    # Nobody was told of it: the next wake waits behind the breaker, and brings it with the probe.
    assert (found.receipt, found.wake_state, found.waits_for) == ("stored", "pending", "unreachable")
    assert (found.offered_at, found.accepted_at) == (None, None)
    notice = world.owner.one("SELECT text FROM notices WHERE audience = 'alice'")
    assert notice["text"].startswith(
        "bob could not be woken (tried: resume 2, spawn 1): its process ended before the message was read: exit"
    )


def test_a_spawned_process_that_proves_itself_makes_good_what_the_resumed_one_did_not(
    world: World, clock: Clock, thread: str
) -> None:
    wake_id = world.pending(thread)
    for _ in range(2):
        clock.set(max(clock.now, world.wake(wake_id)["due_at"]))
        world.move(world.started(wake_id), CRASH)
    clock.set(max(clock.now, world.wake(wake_id)["due_at"]))
    world.move(world.started(wake_id), Proved("native-2"))
    assert receipt(world, thread).receipt == "accepted"
    story = explain_wake(world.deps, world.caller("olivia", Role.OPERATOR), wake_id)
    assert [one.rung for one in story.attempts] == ["resume", "resume", "spawn"]
    assert [bool(one.accepted_at) for one in story.attempts] == [False, False, True]
    assert [one.receipt for one in story.receipts] == ["accepted"]


def test_a_look_that_found_nothing_offers_no_message_that_came_since(world: World, clock: Clock) -> None:
    world.live("carol")
    thread = world.thread("alice", "carol")
    wake_id = world.pending(thread)
    world.waiting(wake_id, Evidence.UNVERIFIED)
    assert receipt(world, thread).receipt == "offered"
    world.post(thread)
    for _ in range(2):
        clock.set(world.wake(wake_id)["due_at"])
        world.advance(wake_id)
    world.settle(world.touch(wake_id), Evidence.ABSENT)
    assert (receipt(world, thread, 1).receipt, receipt(world, thread, 2).receipt) == ("offered", "stored")


def test_a_participant_reads_why_but_not_where_a_process_ran(world: World, thread: str) -> None:
    wake_id = world.pending(thread)
    world.move(world.started(wake_id), CRASH)

    def ran(caller: Any) -> tuple[str | None, int | None, str | None]:  # noqa: ANN401
        run = explain_wake(world.deps, caller, wake_id).attempts[0].run
        assert run is not None
        return run.host, run.pid, run.why

    assert ran(world.caller("alice")) == (None, None, "exit status 3")
    assert ran(world.caller("olivia", Role.OPERATOR)) == ("local", 101, "exit status 3")
