"""Several wakes of one agent in one session: one attempt offers them all, one attempt is in flight."""

from __future__ import annotations

import pytest

from bridge.commands.attach_session import attach_session
from bridge.commands.detach_session import detach_session
from bridge.commands.heartbeat_session import heartbeat_session
from bridge.commands.move_cursor import move_cursor
from bridge.commands.report_human_input import report_human_input
from bridge.commands.rouse_agent import rouse_agent
from bridge.commands.touch_wake import touch_wake
from bridge.core.errors import ClaimMismatch, NotFound
from bridge.core.states import Evidence, SessionStatus
from bridge.core.wake_events import Wake
from tests.support.world import TEST_POLICY, WORKSPACE, Clock, World, make_caller


@pytest.fixture
def threads(world: World, clock: Clock) -> tuple[str, str]:
    """Two threads of alice and bob, whose one session is live."""
    del clock
    world.live("bob")
    return world.thread("alice", "bob"), world.thread("alice", "bob")


def test_one_line_offers_every_wake_that_is_due(world: World, clock: Clock, threads: tuple[str, str]) -> None:
    lead, rider = (world.pending(thread) for thread in threads)
    clock.advance(1)
    begun = world.touching(lead)
    assert (begun.unread, begun.threads) == (2, 2)
    assert world.wake(rider)["state"] == "pending"
    world.settle(begun)
    row = world.wake(rider)
    assert (row["state"], row["attempt_id"], row["offered_seq"]) == ("waiting", begun.attempt.attempt_id, 1)
    assert (row["tried_live"], row["spent"], row["session_id"]) == (1, ["live"], "ses_bob")
    assert row["accepted_at"] == clock.now


def test_a_wake_that_is_not_due_is_not_offered(world: World, clock: Clock, threads: tuple[str, str]) -> None:
    del clock
    lead = world.pending(threads[0])
    later = world.post(threads[1], delay_s=30.0).wakes[0].wake_id
    begun = world.touching(lead)
    assert begun.threads == 1
    world.settle(begun)
    assert world.wake(later)["state"] == "pending"


def test_what_the_line_did_not_tell_of_is_not_counted_as_offered(
    world: World, clock: Clock, threads: tuple[str, str]
) -> None:
    lead, rider = (world.pending(thread) for thread in threads)
    begun = world.touching(lead)
    clock.advance(1)
    world.post(threads[1])
    world.settle(begun)
    assert (world.wake(rider)["offered_seq"], world.wake(rider)["target_seq"]) == (1, 2)
    move_cursor(world.deps, world.caller("bob"), threads[1], 1)
    following = world.open_wake(threads[1], "bob")
    assert following is not None
    assert following["target_seq"] == 2


def test_the_session_is_free_when_the_last_wake_has_left_and_then_the_others_look_again(
    world: World, clock: Clock, threads: tuple[str, str]
) -> None:
    lead, rider = (world.pending(thread) for thread in threads)
    begun = world.touching(lead)
    world.settle(begun)
    third = world.thread("alice", "bob")
    waits = world.pending(third)
    world.advance(waits)
    assert (world.wake(waits)["state"], world.wake(waits)["reason"]) == ("pending", "slot")
    clock.advance(1)
    world.gateway.take()
    move_cursor(world.deps, world.caller("bob"), threads[0], 1)
    assert world.wake(lead)["state"] == "acked"
    assert world.gateway.names() == [], "the rider is still in the attempt"
    assert world.owner.value("SELECT closed_at FROM attempts") is None
    move_cursor(world.deps, world.caller("bob"), threads[1], 1)
    assert world.wake(rider)["state"] == "acked"
    assert world.owner.value("SELECT closed_at FROM attempts") == clock.now
    assert [(ring.task.value, ring.row_id) for ring in world.gateway.take()] == [
        ("wake.recheck_deferred", waits)
    ]
    assert world.wake(waits)["due_at"] == clock.now
    assert world.touching(waits).threads == 1


def test_a_second_attempt_in_a_session_in_flight_waits_for_the_slot(
    world: World, clock: Clock, threads: tuple[str, str]
) -> None:
    lead, rider = (world.pending(thread) for thread in threads)
    assert world.advance(lead).probe is not None
    assert world.advance(rider, "hand-2").probe is not None
    world.touch(lead)
    waits = touch_wake(world.deps, WORKSPACE, rider, fence=world.wake(rider)["fence"])
    assert isinstance(waits, Wake)
    assert (waits.state, waits.reason) == ("pending", "slot")
    assert world.owner.value("SELECT count(*) FROM attempts") == 1
    assert clock.now < waits.due_at


def test_a_hand_that_touched_nothing_frees_the_session_for_the_rider(
    world: World, clock: Clock, threads: tuple[str, str]
) -> None:
    lead, rider = (world.pending(thread) for thread in threads)
    begun = world.touching(lead)
    world.advance(rider)
    assert world.wake(rider)["reason"] == "slot"
    clock.advance(1)
    world.gateway.take()
    world.settle(begun, Evidence.NOT_TOUCHED)
    assert [ring.row_id for ring in world.gateway.take()] == [rider]


def test_a_session_that_ends_sends_its_wakes_on_at_once(
    world: World, clock: Clock, threads: tuple[str, str]
) -> None:
    term = world.live("bob")
    lead, rider = (world.pending(thread) for thread in threads)
    world.settle(world.touching(lead))
    clock.advance(1)
    world.gateway.take()
    assert detach_session(world.deps, WORKSPACE, "ses_bob", term)
    for wake_id in (lead, rider):
        row = world.wake(wake_id)
        assert (row["state"], row["reason"], row["due_at"]) == ("pending", "fallback", clock.now)
        assert row["spent"] == []
    assert sorted(ring.row_id for ring in world.gateway.take()) == sorted([lead, rider])
    assert world.owner.one("SELECT closed_at, result FROM attempts") == {
        "closed_at": clock.now,
        "result": "lost",
    }
    world.advance(lead)
    assert world.wake(lead)["reason"] == "seat"


def test_who_attaches_later_holds_the_session_and_a_late_goodbye_says_nothing(
    world: World, clock: Clock, threads: tuple[str, str]
) -> None:
    del clock, threads
    first = world.live("bob")
    second = world.live("bob")
    assert second == first + 1
    assert not detach_session(world.deps, WORKSPACE, "ses_bob", first)
    assert world.owner.value("SELECT attached FROM sessions WHERE session_id = 'ses_bob'")
    assert detach_session(world.deps, WORKSPACE, "ses_bob", second)
    assert not detach_session(world.deps, WORKSPACE, "ses_bob", second)
    assert not detach_session(world.deps, WORKSPACE, "ses_nobody", 1)


def test_a_new_session_takes_the_seat_and_the_waiting_wake_goes_there(
    world: World, clock: Clock, threads: tuple[str, str]
) -> None:
    term = world.live("bob")
    wake_id = world.pending(threads[0])
    world.waiting(wake_id)
    detach_session(world.deps, WORKSPACE, "ses_bob", term)
    clock.advance(1)
    world.advance(wake_id)
    assert world.wake(wake_id)["reason"] == "seat"
    world.gateway.take()
    world.live("bob", "ses_new")
    assert [ring.row_id for ring in world.gateway.take()] == [wake_id]
    begun = world.touching(wake_id)
    assert (begun.attempt.session_id, begun.attempt.may_type, begun.attempt.look_first) == (
        "ses_new",
        True,
        False,
    )


def test_a_session_never_changes_hands(world: World, clock: Clock, threads: tuple[str, str]) -> None:
    del clock, threads
    with pytest.raises(ClaimMismatch):
        attach_session(world.deps, WORKSPACE, "mallory", "ses_bob", host="local", pid=1, runtime="pty")
    mallory = make_caller("mallory", session="ses_bob")
    beat = {"runtime": "pty", "resumable": False, "status": SessionStatus.IDLE}
    with pytest.raises(ClaimMismatch):
        heartbeat_session(world.deps, mallory, "ses_bob", **beat)  # type: ignore[arg-type]
    with pytest.raises(ClaimMismatch):
        heartbeat_session(world.deps, mallory, "ses_other", **beat)  # type: ignore[arg-type]
    with pytest.raises(ClaimMismatch):
        report_human_input(world.deps, mallory, "ses_other")
    with pytest.raises(NotFound):
        report_human_input(world.deps, make_caller("carol"), "ses_carol")
    assert world.owner.value("SELECT count(*) FROM agents WHERE seat_session_id IS NOT NULL") == 1


def test_a_busy_agent_gets_time_to_read_up_to_the_longest_extension(
    world: World, clock: Clock, threads: tuple[str, str]
) -> None:
    wake_id = world.pending(threads[0])
    world.waiting(wake_id)
    accepted = clock.now
    bob = world.caller("bob")
    for _ in range(100):
        clock.set(world.wake(wake_id)["due_at"])
        heartbeat_session(
            world.deps, bob, "ses_bob", runtime="pty", resumable=False, status=SessionStatus.ACTIVE
        )
        world.advance(wake_id)
        if world.wake(wake_id)["state"] != "waiting":
            break
    assert world.wake(wake_id)["state"] == "failed"
    assert (clock.now - accepted).total_seconds() == TEST_POLICY.read_extension_s_max


def test_a_heartbeat_lives_even_while_somebody_holds_the_agents_wake(
    world: World, clock: Clock, threads: tuple[str, str]
) -> None:
    del clock
    wake_id = world.pending(threads[0])
    with world.owner.holding("SELECT 1 FROM wakes WHERE wake_id = :id FOR UPDATE", id=wake_id):
        seen = heartbeat_session(
            world.deps,
            world.caller("bob"),
            "ses_bob",
            runtime="pty",
            resumable=False,
            status=SessionStatus.IDLE,
        )
    assert seen.status == "idle"


def test_a_session_that_is_ready_is_told_of_by_its_host(
    world: World, clock: Clock, threads: tuple[str, str]
) -> None:
    wake_id = world.pending(threads[0])
    begun = world.touching(wake_id)
    waits = world.pending(threads[1])
    world.advance(waits)
    world.settle(begun)
    clock.advance(3)
    world.gateway.take()
    rouse_agent(world.deps, WORKSPACE, "bob")
    assert (world.wake(wake_id)["due_at"] - clock.now).total_seconds() == TEST_POLICY.live.read_timeout_s
    assert world.wake(waits)["due_at"] == clock.now
    assert [ring.row_id for ring in world.gateway.take()] == [waits]
