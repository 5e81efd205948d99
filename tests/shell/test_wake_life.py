"""A wake's whole way through the commands, with a scripted hand: offered, retried, read, or failed and told."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from bridge.commands.ack_wake import ack_wake
from bridge.commands.move_cursor import move_cursor
from bridge.commands.postpone_wake import postpone_wake
from bridge.commands.settle_wake import settle_wake
from bridge.commands.touch_wake import Begun, touch_wake
from bridge.core.errors import FenceRejected, Forbidden
from bridge.core.states import Evidence, WaitReason
from bridge.ports.gateway import Ring
from bridge.ports.tasks import TaskName
from tests.support.world import T0, TEST_POLICY, WORKSPACE, Clock, FixedPolicies, RecordingGateway, World


@pytest.fixture
def thread(world: World, clock: Clock) -> str:
    """A thread of alice and bob, whose session is live."""
    assert clock.now == T0
    world.live("bob")
    thread_id = world.thread("alice", "bob")
    world.gateway.take()
    return thread_id


def seconds(delay: timedelta) -> float:
    return delay.total_seconds()


def test_a_message_is_posted_handed_over_and_read(world: World, clock: Clock, thread: str) -> None:
    wake_id = world.pending(thread)
    assert world.gateway.take() == [Ring(TaskName.WAKE_ATTEMPT, "host.local", WORKSPACE, wake_id)]
    advanced = world.advance(wake_id)
    assert advanced.probe is not None
    assert (advanced.wake.state, advanced.probe.fence, advanced.probe.session_id) == (
        "delivering",
        1,
        "ses_bob",
    )
    assert seconds(world.wake(wake_id)["due_at"] - T0) == TEST_POLICY.lease_s
    clock.advance(1)
    begun = world.touch(wake_id)
    assert (begun.unread, begun.threads, begun.attempt.may_type, begun.attempt.look_first) == (
        1,
        1,
        True,
        False,
    )
    assert world.wake(wake_id)["state"] == "touching"
    clock.advance(2)
    world.settle(begun)
    row = world.wake(wake_id)
    assert (row["state"], row["offered_seq"], row["accepted_at"]) == ("waiting", 1, T0 + timedelta(seconds=3))
    assert row["due_at"] == T0 + timedelta(seconds=3 + 30)
    clock.advance(3)
    view = move_cursor(world.deps, world.caller("bob"), thread, 1)
    assert (view.last_read_seq, view.last_seq, view.unread) == (1, 1, 0)
    assert world.wake(wake_id)["state"] == "acked"
    attempt = world.owner.one("SELECT * FROM attempts")
    assert (attempt["closed_at"], attempt["result"]) == (T0 + timedelta(seconds=6), "acked")
    steps = world.owner.rows("SELECT event, to_state FROM wake_events ORDER BY n")
    assert [step["event"] for step in steps] == [
        "opened",
        "due",
        "touch_allowed",
        "handed_over",
        "cursor_moved",
    ]
    assert [step["to_state"] for step in steps] == ["pending", "delivering", "touching", "waiting", "acked"]


def test_acking_the_wake_is_moving_the_cursor_to_what_was_offered(
    world: World, clock: Clock, thread: str
) -> None:
    del clock
    wake_id = world.pending(thread)
    world.waiting(wake_id)
    with pytest.raises(Forbidden):
        ack_wake(world.deps, world.caller("alice"), wake_id)
    assert ack_wake(world.deps, world.caller("bob"), wake_id).state == "acked"
    assert ack_wake(world.deps, world.caller("bob"), wake_id).state == "acked"
    assert world.owner.value("SELECT last_read_seq FROM participants WHERE agent_id = 'bob'") == 1


def test_acking_a_wake_that_failed_ends_the_one_that_followed_it(
    world: World, clock: Clock, thread: str
) -> None:
    first = fail_unread(world, clock, thread)
    second = world.post(thread).wakes[0].wake_id
    world.owner.run("UPDATE wakes SET offered_seq = 2 WHERE wake_id = :id", id=first)
    ack_wake(world.deps, world.caller("bob"), first)
    assert world.wake(second)["state"] == "already_active"


def test_a_message_read_before_anything_is_offered_wakes_nobody(
    world: World, clock: Clock, thread: str
) -> None:
    del clock
    wake_id = world.pending(thread)
    move_cursor(world.deps, world.caller("bob"), thread, 1)
    assert world.wake(wake_id)["state"] == "already_active"
    assert world.advance(wake_id).absorbed
    assert world.owner.value("SELECT count(*) FROM attempts") == 0


def test_what_was_posted_after_the_offer_opens_the_next_wake_in_the_same_transaction(
    world: World, clock: Clock, thread: str
) -> None:
    wake_id = world.pending(thread)
    world.waiting(wake_id)
    again = world.post(thread)
    assert [wake.wake_id for wake in again.wakes] == [wake_id]
    assert world.wake(wake_id)["target_seq"] == 2
    clock.advance(1)
    world.gateway.take()
    move_cursor(world.deps, world.caller("bob"), thread, 1)
    assert world.wake(wake_id)["state"] == "acked"
    following = world.open_wake(thread, "bob")
    assert following is not None
    assert (following["target_seq"], following["state"], following["reason"]) == (2, "pending", "first")
    ended = world.owner.value("SELECT xmin::text FROM wakes WHERE wake_id = :id", id=wake_id)
    born = world.owner.value("SELECT xmin::text FROM wakes WHERE wake_id = :id", id=following["wake_id"])
    assert ended == born
    assert [ring.row_id for ring in world.gateway.take()] == [following["wake_id"]]


def fail_unread(world: World, clock: Clock, thread: str) -> str:
    """A wake that is accepted, never read, and then has no rung left."""
    wake_id = world.pending(thread)
    world.waiting(wake_id)
    clock.advance(TEST_POLICY.live.read_timeout_s)
    assert world.advance(wake_id).wake.state == "failed"
    return wake_id


def test_a_wake_that_was_taken_and_not_read_fails_and_tells_operators_and_sender(
    world: World, clock: Clock, thread: str
) -> None:
    fail_unread(world, clock, thread)
    notices = world.owner.rows("SELECT audience, cause, text FROM notices ORDER BY audience")
    assert [(notice["audience"], notice["cause"]) for notice in notices] == [
        ("*operators", "wake_failed:bob"),
        ("alice", "wake_failed:bob"),
    ]
    assert "was not read within 30 s" in notices[0]["text"]
    assert world.owner.value("SELECT probe_at FROM agents WHERE agent_id = 'bob'") > clock.now


def test_a_line_that_is_never_taken_is_tried_again_with_backoff_and_then_fails(
    world: World, clock: Clock, thread: str
) -> None:
    wake_id = world.pending(thread)
    waits: list[float] = []
    rung: list[list[str]] = []
    for number in (1, 2, 3):
        begun = world.touching(wake_id)
        assert begun.attempt.attempt_id == f"{wake_id}.{number}"
        assert (begun.attempt.may_type, begun.attempt.look_first) == (number == 1, number > 1)
        world.settle(begun, Evidence.STRANDED if number == 1 else Evidence.ABSENT)
        world.gateway.take()
        clock.set(world.wake(wake_id)["due_at"])
        world.advance(wake_id)
        row = world.wake(wake_id)
        if row["state"] == "pending":
            assert row["reason"] == "backoff"
            waits.append(seconds(row["due_at"] - clock.now))
            clock.set(row["due_at"])
        rung.append(world.gateway.names())
    assert waits == [2.0, 4.0]
    assert rung == [[], [], []], "what is due later is the keeper's to ring"
    row = world.wake(wake_id)
    assert (row["state"], row["tried_live"], row["attempts"]) == ("failed", 3, 3)
    assert "not accepted within 8 s" in row["why"]
    assert world.owner.value("SELECT count(*) FROM attempts WHERE closed_at IS NULL") == 0


def test_a_human_postpones_until_the_session_counts_as_occupied(
    world: World, clock: Clock, thread: str
) -> None:
    wake_id = world.pending(thread)
    looks = 0
    while world.wake(wake_id)["state"] != "failed":
        looks += 1
        advanced = world.advance(wake_id)
        if advanced.probe is None:
            break
        fence = advanced.probe.fence
        postpone_wake(
            world.deps, WORKSPACE, wake_id, fence=fence, reason=WaitReason.HUMAN, why="a human is typing"
        )
        clock.set(max(clock.now, world.wake(wake_id)["due_at"]))
    row = world.wake(wake_id)
    assert row["state"] == "failed"
    assert seconds(clock.now - T0) == TEST_POLICY.defer_s_max
    assert looks == TEST_POLICY.defer_s_max / TEST_POLICY.defer_recheck_s + 2
    assert (row["deferred_s"], row["tried_live"], row["attempts"]) == (60.0, 0, 0)
    assert "typing" in row["why"]


def test_a_lease_that_ends_before_touching_gives_the_wake_back_and_burns_no_try(
    world: World, clock: Clock, thread: str
) -> None:
    wake_id = world.pending(thread)
    first = world.advance(wake_id).probe
    assert first is not None
    assert world.advance(wake_id, "hand-2").early, "the lease runs"
    clock.advance(TEST_POLICY.lease_s)
    world.gateway.take()
    world.advance(wake_id, "hand-2")
    row = world.wake(wake_id)
    assert (row["state"], row["reason"], row["tried_live"]) == ("pending", "fallback", 0)
    assert world.gateway.names() == ["wake.fall_back"]
    second = world.advance(wake_id, "hand-2").probe
    assert second is not None
    assert second.fence == first.fence + 1
    with pytest.raises(FenceRejected):
        touch_wake(world.deps, WORKSPACE, wake_id, fence=first.fence)
    with pytest.raises(FenceRejected):
        postpone_wake(world.deps, WORKSPACE, wake_id, fence=first.fence, reason=WaitReason.HUMAN)
    assert isinstance(touch_wake(world.deps, WORKSPACE, wake_id, fence=second.fence), Begun)


def test_a_lease_that_ends_while_typing_waits_with_evidence_unknown_and_looks_first_next_time(
    world: World, clock: Clock, thread: str
) -> None:
    wake_id = world.pending(thread)
    begun = world.touching(wake_id)
    clock.advance(TEST_POLICY.lease_s)
    world.advance(wake_id, "hand-2")
    row = world.wake(wake_id)
    assert (row["state"], row["unsure"], row["tried_live"], row["offered_seq"]) == ("waiting", True, 1, 1)
    with pytest.raises(FenceRejected):
        world.settle(begun)
    assert world.owner.value("SELECT handed_at FROM attempt_wakes") is None, (
        "a refused outcome leaves nothing"
    )
    clock.set(row["due_at"])
    world.advance(wake_id, "hand-2")
    clock.set(world.wake(wake_id)["due_at"])
    again = world.touching(wake_id)
    assert (again.attempt.look_first, again.attempt.may_type) == (True, True)


def test_what_was_read_while_it_was_typed_is_acked_by_the_hands_report(
    world: World, clock: Clock, thread: str
) -> None:
    del clock
    begun = world.touching(world.pending(thread))
    move_cursor(world.deps, world.caller("bob"), thread, 1)
    assert world.wake(begun.wake.wake_id)["state"] == "touching"
    assert world.settle(begun).state == "acked"
    assert world.owner.value("SELECT count(*) FROM attempts WHERE closed_at IS NULL") == 0


def test_a_hand_that_touched_nothing_gives_the_session_back(world: World, clock: Clock, thread: str) -> None:
    del clock
    begun = world.touching(world.pending(thread))
    after = world.settle(begun, Evidence.NOT_TOUCHED, WaitReason.BUSY, "the agent works")
    assert (after.state, after.reason, after.tried.live, after.offered_seq) == ("pending", "busy", 0, 0)
    assert world.owner.one("SELECT closed_at IS NOT NULL AS closed, result FROM attempts") == {
        "closed": True,
        "result": "not_touched",
    }


def test_a_session_that_is_gone_is_looked_for_again_in_a_second(
    world: World, clock: Clock, thread: str
) -> None:
    begun = world.touching(world.pending(thread))
    after = world.settle(begun, Evidence.GONE, why="no such session")
    assert (after.state, after.reason, seconds(after.due_at - clock.now)) == ("pending", "fallback", 1.0)


def test_every_wake_ends_at_its_death_at_the_latest(
    world: World, clock: Clock, thread: str, policies: FixedPolicies
) -> None:
    policies.policy = dataclasses.replace(TEST_POLICY, seat_wait_s=100_000.0)
    nobody = world.thread("alice", "carol", thread_id="th_carol")
    wake_id = world.pending(nobody)
    died = False
    for _ in range(1_000):
        clock.set(world.wake(wake_id)["due_at"])
        if world.advance(wake_id).wake.state == "failed":
            died = True
            break
    assert died
    assert seconds(clock.now - T0) == TEST_POLICY.wake_life_s_max
    assert thread != nobody
    assert "its life is over; it last waited for: seat" in world.wake(wake_id)["why"]


def test_an_early_ring_takes_nothing_and_lets_the_keeper_ring_again(
    world: World, clock: Clock, thread: str
) -> None:
    wake_id = world.post(thread, delay_s=60.0).wakes[0].wake_id
    assert world.gateway.take() == []
    world.owner.run("UPDATE wakes SET rung_until = :until", until=clock.now + timedelta(seconds=61))
    assert world.advance(wake_id).early
    assert world.wake(wake_id)["rung_until"] is None
    assert seconds(world.wake(wake_id)["dies_at"] - T0) == 60 + TEST_POLICY.wake_life_s_max


def test_the_hand_that_reports_an_attempt_that_is_not_there_is_refused(
    world: World, clock: Clock, thread: str
) -> None:
    del clock
    wake_id = world.pending(thread)
    world.touching(wake_id)
    with pytest.raises(FenceRejected):
        settle_wake(
            world.deps, WORKSPACE, wake_id, fence=1, attempt_id=f"{wake_id}.9", evidence=Evidence.ACCEPTED
        )


def test_rings_say_what_the_wake_waits_for_and_rows_are_rung_for_a_second(
    world: World, clock: Clock, thread: str, gateway: RecordingGateway
) -> None:
    wake_id = world.pending(thread)
    assert world.wake(wake_id)["rung_until"] == T0 + timedelta(seconds=1)
    assert gateway.names() == ["wake.attempt"]
    world.waiting(wake_id, Evidence.UNVERIFIED)
    assert gateway.names() == []
    assert world.wake(wake_id)["rung_until"] is None, "what is due later nobody has rung yet"
    clock.advance(8)
    world.advance(wake_id)
    assert gateway.names() == []
    assert (world.wake(wake_id)["reason"], world.wake(wake_id)["rung_until"]) == ("backoff", None)
