"""The chains: audit per row, messages per thread; what they say can be computed again from the stored rows."""

from __future__ import annotations

from bridge.core.audit import Problem
from tests.support.audit import problems_of
from tests.support.scene import play
from tests.support.world import Clock, World


def test_every_audit_chain_verifies_and_ends_at_its_rows_head(world: World, clock: Clock) -> None:
    play(world, clock)
    assert world.owner.value("SELECT count(DISTINCT resource_type) FROM audit_events") >= 6
    assert problems_of(world) == []


def test_a_changed_audit_event_is_found(world: World, clock: Clock) -> None:
    play(world, clock)
    world.owner.run("UPDATE audit_events SET actor = 'mallory' WHERE n = 1 AND resource_type = 'thread'")
    (found,) = problems_of(world)
    assert (found.resource_type, found.n, found.what.split(":")[0]) == ("thread", 1, "was changed")


def test_a_threads_messages_verify_from_the_stored_rows_alone(world: World, clock: Clock) -> None:
    play(world, clock)
    assert world.owner.value("SELECT count(DISTINCT kind) FROM messages") == 3
    assert problems_of(world) == []


def test_a_changed_message_is_found(world: World, clock: Clock) -> None:
    thread = play(world, clock)
    world.owner.run("UPDATE messages SET body = 'never said' WHERE thread_id = :t AND seq = 2", t=thread)
    assert problems_of(world) == [
        Problem("messages", thread, 2, "was changed: it does not hash to what was written")
    ]


def test_every_status_and_every_end_of_a_wake_is_audited(world: World, clock: Clock) -> None:
    thread = play(world, clock)
    events = {
        (row["resource_type"], row["event"])
        for row in world.owner.rows("SELECT resource_type, event FROM audit_events")
    }
    assert {
        ("thread", "thread.blocked"),
        ("thread", "thread.active"),
        ("wake", "wake.touching"),
        ("wake", "wake.failed"),
        ("wake", "wake.retried"),
        ("wake", "wake.already_active"),
        ("wake", "wake.cancelled"),
        ("agent", "agent.changed"),
        ("session", "session.attached"),
    } <= events
    assert ("wake", "wake.delivering") not in events, "claims are in the wake's own history"
    unaudited = world.owner.rows(
        "SELECT wake_id FROM wakes w WHERE state IN ('acked', 'already_active', 'cancelled', 'failed') "
        "AND NOT EXISTS (SELECT FROM audit_events a WHERE a.resource_id = w.wake_id AND a.event = 'wake.' || w.state)"
    )
    assert unaudited == []
    assert thread
