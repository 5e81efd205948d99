"""A wake's whole way through the commands, with a scripted hand."""

from __future__ import annotations

from bridge.commands.move_cursor import move_cursor
from tests.support.world import Clock, World


def test_a_message_is_posted_handed_over_and_read(world: World, clock: Clock) -> None:
    thread = world.thread("alice", "bob")
    world.live("bob")
    wake_id = world.pending(thread)
    world.waiting(wake_id)
    clock.advance(3)
    view = move_cursor(world.deps, world.caller("bob"), thread, 1)
    assert view.unread == 0
    assert world.wake(wake_id)["state"] == "acked"
