"""What a terminal tells of its program after the hand has gone: a line seen taken, the name of its session."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.commands.accept_wake import accept_wake
from bridge.commands.detach_session import detach_session
from bridge.commands.name_session import name_session
from bridge.core.errors import NotFound
from bridge.core.states import Evidence
from tests.support.world import Clock, World

NATIVE = "01a209e5-6b87-7c91-87b0-d1ded44801d9"


def accept(world: World, wake_id: str, session_id: str = "ses_bob") -> None:
    accept_wake(world.deps, world.workspace, wake_id, session_id=session_id, by="record", worker="host:local")


class TestAccepted:
    def test_a_line_seen_taken_late_is_read_for_and_not_tried_again(self, world: World, clock: Clock) -> None:
        world.live("bob")
        wake_id = world.pending(world.thread("alice", "bob"))
        world.waiting(wake_id, Evidence.UNVERIFIED)
        clock.advance(1)
        accept(world, wake_id)
        row = world.wake(wake_id)
        assert (row["state"], row["accepted_at"], row["attempts"]) == ("waiting", clock.now, 1)
        assert row["due_at"] == clock.now + timedelta(seconds=30)
        step = world.owner.one("SELECT event, detail FROM wake_events ORDER BY n DESC LIMIT 1")
        assert (step["event"], step["detail"]["by"]) == ("accepted", "record")
        assert world.owner.value("SELECT accepted_at FROM attempts") == clock.now

    def test_a_line_seen_taken_before_its_hand_could_say_how_it_went_is_accepted(
        self, world: World, clock: Clock
    ) -> None:
        world.live("bob")
        wake_id = world.pending(world.thread("alice", "bob"))
        begun = world.touching(wake_id)
        clock.advance(1)
        accept(world, wake_id)
        assert world.wake(wake_id)["state"] == "touching"
        world.settle(begun, Evidence.UNVERIFIED)
        row = world.wake(wake_id)
        assert (row["state"], row["accepted_at"]) == ("waiting", clock.now)
        assert world.owner.value("SELECT accepted_at FROM attempts") == clock.now

    def test_told_again_it_changes_nothing(self, world: World, clock: Clock) -> None:
        world.live("bob")
        wake_id = world.pending(world.thread("alice", "bob"))
        world.waiting(wake_id)
        before = world.wake(wake_id)
        clock.advance(1)
        accept(world, wake_id)
        assert world.wake(wake_id) == before

    def test_another_session_cannot_say_so(self, world: World, clock: Clock) -> None:
        world.live("bob")
        world.live("mallory")
        wake_id = world.pending(world.thread("alice", "bob"))
        world.waiting(wake_id, Evidence.UNVERIFIED)
        clock.advance(1)
        with pytest.raises(NotFound):
            accept(world, wake_id, "ses_mallory")
        assert world.wake(wake_id)["accepted_at"] is None

    def test_nor_can_anybody_before_a_line_was_handed_over(self, world: World) -> None:
        world.live("bob")
        wake_id = world.pending(world.thread("alice", "bob"))
        with pytest.raises(NotFound):
            accept(world, wake_id)
        with pytest.raises(NotFound):
            accept(world, "wake_none")


class TestNamed:
    def test_the_name_is_kept_when_the_terminal_is_gone(self, world: World) -> None:
        term = world.live("bob")
        name_session(
            world.deps, world.workspace, "ses_bob", term, host="local", native_id=NATIVE, resumable=True
        )
        detach_session(world.deps, world.workspace, "ses_bob", term)
        row = world.owner.one("SELECT native_id, resumable, attached FROM sessions")
        assert (row["native_id"], row["resumable"], row["attached"]) == (NATIVE, True, False)
        told = world.owner.rows("SELECT event FROM audit_events WHERE event = 'session.named'")
        assert len(told) == 1

    def test_an_earlier_terminal_names_nothing(self, world: World) -> None:
        term = world.live("bob")
        assert world.live("bob") == term + 1
        name_session(
            world.deps, world.workspace, "ses_bob", term, host="local", native_id=NATIVE, resumable=True
        )
        assert world.owner.value("SELECT native_id FROM sessions") is None
