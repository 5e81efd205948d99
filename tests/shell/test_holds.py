"""A hold over a real database: what waits for it, what passes, who may, what is written down, what a release rings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bridge.commands.force_wake import force_wake
from bridge.commands.heartbeat_session import heartbeat_session
from bridge.commands.hold_session import SessionHold, hold_session
from bridge.commands.postpone_wake import postpone_wake
from bridge.commands.touch_wake import touch_wake
from bridge.commands.trigger_wake import trigger_wake
from bridge.core.caller import Caller
from bridge.core.errors import ClaimMismatch, Forbidden, InvalidArgument, NotFound
from bridge.core.states import Evidence, Role, SessionStatus, WaitReason
from bridge.core.wake_events import Wake
from bridge.queries.agents import get_agent
from bridge.queries.wake_story import explain_wake
from bridge.queries.wakes import get_wake
from tests.support.audit import broken_history
from tests.support.world import Clock, World, make_caller


@pytest.fixture
def thread(world: World, clock: Clock) -> str:
    """A thread of alice and bob, whose session is live."""
    del clock
    world.live("bob")
    return world.thread("alice", "bob")


@pytest.fixture
def operator(world: World) -> Caller:
    """Somebody who may hold any session."""
    return world.caller("olivia", Role.OPERATOR)


def hold(
    world: World, caller: Caller, for_s: float | None = 300, reason: str | None = "a rebase"
) -> SessionHold:
    """Bob's session is held."""
    return hold_session(world.deps, caller, "ses_bob", for_s=for_s, reason=reason)


def session_audit(world: World) -> list[dict[str, Any]]:
    """What was written down about bob's session, its attachment apart."""
    return world.owner.rows(
        "SELECT event, actor, before, after FROM audit_events WHERE resource_type = 'session' "
        "AND resource_id = 'ses_bob' AND event <> 'session.attached' ORDER BY n"
    )


def test_a_wake_waits_for_the_hold_and_a_release_rings_it_at_once(
    world: World, clock: Clock, thread: str, operator: Caller
) -> None:
    held = hold(world, operator)
    assert (held.held_until, held.held_by, held.reason) == (
        clock.now + timedelta(seconds=300),
        "olivia",
        "a rebase",
    )
    wake_id = world.pending(thread)
    assert world.advance(wake_id).probe is None
    row = world.wake(wake_id)
    assert (row["state"], row["reason"], row["fence"], row["tried_live"]) == ("pending", "held", 0, 0)
    clock.advance(2)
    assert row["due_at"] > clock.now
    world.gateway.take()
    assert hold(world, operator, 0).held_until is None
    assert [ring.row_id for ring in world.gateway.take()] == [wake_id]
    assert world.advance(wake_id).probe is not None


def test_a_shorter_hold_is_looked_at_at_once_and_a_longer_one_when_it_is_due(
    world: World, clock: Clock, thread: str, operator: Caller
) -> None:
    hold(world, operator)
    wake_id = world.pending(thread)
    world.advance(wake_id)
    world.gateway.take()
    hold(world, operator, 600)
    assert world.gateway.take() == []
    hold(world, operator, 3)
    assert [ring.row_id for ring in world.gateway.take()] == [wake_id]
    world.advance(wake_id)
    assert world.wake(wake_id)["due_at"] == clock.now + timedelta(seconds=3)
    clock.advance(3)
    assert world.advance(wake_id).probe is not None


def test_a_hold_that_comes_between_claim_and_touching_is_seen(
    world: World, thread: str, operator: Caller
) -> None:
    wake_id = world.pending(thread)
    world.advance(wake_id)
    hold(world, operator)
    after = touch_wake(world.deps, world.workspace, wake_id, fence=world.wake(wake_id)["fence"])
    assert isinstance(after, Wake)
    assert (after.reason, after.attempts) == (WaitReason.HELD, 0)
    assert world.owner.value("SELECT count(*) FROM attempts") == 0


def test_no_process_is_started_for_a_held_session_or_in_its_place(
    world: World, clock: Clock, operator: Caller
) -> None:
    del clock
    world.dormant("bob")
    hold(world, operator)
    wake_id = world.pending(world.thread("alice", "bob"))
    world.advance(wake_id)
    assert world.wake(wake_id)["reason"] == "held"
    assert world.owner.value("SELECT count(*) FROM runs") == 0


def test_another_session_in_the_seat_is_no_business_of_the_hold(
    world: World, clock: Clock, thread: str, operator: Caller
) -> None:
    hold(world, operator)
    wake_id = world.pending(thread)
    world.advance(wake_id)
    world.live("bob", "ses_new")
    clock.advance(60)
    advanced = world.advance(wake_id)
    assert advanced.probe is not None
    assert advanced.probe.session_id == "ses_new"


def test_a_forced_wake_passes_once_and_its_line_still_looks_at_the_box(
    world: World, thread: str, operator: Caller
) -> None:
    hold(world, operator)
    wake_id = world.pending(thread)
    world.advance(wake_id)
    force_wake(world.deps, operator, wake_id, "it burns")
    begun = world.touching(wake_id)
    assert begun.attempt.force, "it skips the quiet; what a hand looks at in the box is the same"
    world.settle(begun, Evidence.NOT_TOUCHED, WaitReason.BUSY, "a dialog is open")
    row = world.wake(wake_id)
    assert (row["state"], row["reason"], row["tried_live"]) == ("pending", "busy", 0)


def test_a_wake_that_dies_behind_a_hold_says_whose_and_opens_no_breaker(
    world: World, clock: Clock, thread: str, operator: Caller
) -> None:
    hold(world, operator, None)
    wake_id = world.pending(thread)
    died = world.wake(wake_id)["dies_at"]
    world.advance(wake_id)
    clock.set(died)
    assert world.advance(wake_id).wake.state == "failed"
    row = world.wake(wake_id)
    assert row["dies_at"] == died
    assert (
        row["why"]
        == "its life is over; it last waited for: held (olivia holds it until 04:00:00 UTC: a rebase)"
    )
    assert world.owner.value("SELECT probe_at FROM agents WHERE agent_id = 'bob'") is None
    told = world.owner.rows("SELECT audience, text FROM notices ORDER BY audience")
    assert [notice["audience"] for notice in told] == ["*operators", "alice"]
    assert all("olivia holds it until" in notice["text"] for notice in told)


# --- who may -----------------------------------------------------------------------------------------------------


def test_the_sessions_own_token_holds_it_and_nobody_elses(world: World, thread: str) -> None:
    del thread
    assert hold(world, world.caller("bob"), 60, None).held_by == "bob"
    for role in (Role.PARTICIPANT, Role.COORDINATOR):
        with pytest.raises(ClaimMismatch, match="operators hold any"):
            hold(world, world.caller("alice", role))
        with pytest.raises(ClaimMismatch, match="operators hold any"):
            hold_session(world.deps, world.caller("alice", role), "ses_nowhere", for_s=1, reason=None)
    with pytest.raises(ClaimMismatch, match="belongs to another agent"):
        hold(world, make_caller("alice", session="ses_bob"))
    for role in (Role.AUDITOR, Role.HOST):
        with pytest.raises(Forbidden):
            hold(world, world.caller("host:local" if role is Role.HOST else "ada", role))


def test_an_operators_hold_is_not_ended_by_the_agent_and_the_agents_is_by_an_operator(
    world: World, thread: str, operator: Caller
) -> None:
    del thread
    hold(world, operator)
    for for_s in (0, 10, 600):
        with pytest.raises(Forbidden, match="olivia holds it until"):
            hold(world, world.caller("bob"), for_s)
    hold(world, operator, 0)
    hold(world, world.caller("bob"), 60)
    assert hold(world, operator, 0).held_until is None


def test_what_is_not_there_and_what_is_too_long_is_refused(
    world: World, thread: str, operator: Caller
) -> None:
    del thread
    with pytest.raises(NotFound):
        hold_session(world.deps, operator, "ses_nowhere", for_s=60, reason=None)
    with pytest.raises(InvalidArgument, match="from 1 to 14400"):
        hold(world, operator, 14_401)
    assert session_audit(world) == []


def test_holds_and_releases_are_written_down_in_the_sessions_chain_and_a_repeated_release_is_not(
    world: World, clock: Clock, thread: str, operator: Caller
) -> None:
    del thread
    hold(world, operator)
    until = (clock.now + timedelta(seconds=300)).isoformat()
    hold(world, operator)
    for _ in range(2):
        hold(world, operator, 0)
    nobody = {"held_until": None, "held_by": None, "held_why": None}
    held = {"held_until": until, "held_by": "olivia", "held_why": "a rebase"}
    assert session_audit(world) == [
        {"event": "session.held", "actor": "olivia", "before": nobody, "after": held},
        {"event": "session.released", "actor": "olivia", "before": held, "after": nobody},
    ]
    assert broken_history(world.owner) == []


def test_a_heartbeat_and_another_terminal_leave_the_hold_as_it_is(
    world: World, clock: Clock, thread: str, operator: Caller
) -> None:
    del thread
    until = hold(world, operator).held_until
    clock.advance(1)
    heartbeat_session(
        world.deps,
        world.caller("bob"),
        "ses_bob",
        runtime="pty",
        resumable=False,
        status=SessionStatus.IDLE,
    )
    world.live("bob")
    row = world.owner.one("SELECT held_until, held_by FROM sessions WHERE session_id = 'ses_bob'")
    assert (row["held_until"], row["held_by"]) == (until, "olivia")


# --- what is shown -------------------------------------------------------------------------------------------------


def test_a_wake_shows_its_hold_and_its_times_by_the_databases_clock(
    world: World, clock: Clock, thread: str, operator: Caller
) -> None:
    wake_id = world.pending(thread)
    born_at = clock.now
    world.advance(wake_id)
    why = "a human typed 3 s ago"
    fence = world.wake(wake_id)["fence"]
    postpone_wake(
        world.deps, world.workspace, wake_id, fence=fence, reason=WaitReason.HUMAN, why=why, worker="w"
    )
    clock.advance(4)
    view = get_wake(world.deps, operator, wake_id)
    assert (view.reason, view.why, view.since, view.now) == ("human", why, born_at, clock.now)
    assert view.deferred_left_s == 56
    assert view.held_until is None
    hold(world, operator)
    assert get_wake(world.deps, operator, wake_id).held_until == clock.now + timedelta(seconds=300)
    clock.advance(300)
    assert get_wake(world.deps, operator, wake_id).held_until is None


def test_what_showed_that_a_line_was_taken_stands_in_the_story(
    world: World, thread: str, operator: Caller
) -> None:
    wake_id = world.pending(thread)
    begun = world.touching(wake_id)
    world.settle(begun, by="record")
    steps = explain_wake(world.deps, operator, wake_id).steps
    assert [(step.event, (step.detail or {}).get("by")) for step in steps][-1] == ("handed_over", "record")


def test_who_triggers_by_force_says_why_in_the_wakes_own_story(
    world: World, thread: str, operator: Caller
) -> None:
    with pytest.raises(Forbidden):
        trigger_wake(
            world.deps,
            world.caller("carla", Role.COORDINATOR),
            thread,
            target_agent_id="bob",
            reason="now",
            force=True,
        )
    world.post(thread)
    hold(world, operator)
    found = trigger_wake(
        world.deps, operator, thread, target_agent_id="bob", reason="it burns", force=True
    ).wake_id
    assert found is not None
    assert world.wake(found)["why"] == "forced by olivia: it burns"
    assert world.touching(found).attempt.force
    events = world.owner.rows(
        "SELECT event, actor FROM audit_events WHERE resource_type = 'wake' AND resource_id = :w ORDER BY n",
        w=found,
    )
    assert {"event": "wake.forced", "actor": "olivia"} in [dict(row) for row in events]


def test_only_operators_force_and_each_time_is_written_down_with_who_and_why(
    world: World, thread: str, operator: Caller
) -> None:
    hold(world, operator)
    wake_id = world.pending(thread)
    world.advance(wake_id)
    for role in (Role.PARTICIPANT, Role.COORDINATOR, Role.AUDITOR, Role.HOST):
        with pytest.raises(Forbidden):
            force_wake(world.deps, world.caller("alice", role), wake_id, "now")
    assert not world.wake(wake_id)["forced"]
    force_wake(world.deps, operator, wake_id, "it burns")
    force_wake(world.deps, world.caller("root", Role.OPERATOR), wake_id, "it still burns")
    written = world.owner.rows(
        "SELECT actor, after ->> 'why' AS why FROM audit_events WHERE resource_id = :w AND event = 'wake.forced' "
        "ORDER BY n",
        w=wake_id,
    )
    assert [(row["actor"], row["why"]) for row in written] == [
        ("olivia", "forced by olivia: it burns"),
        ("root", "forced by root: it still burns"),
    ]
    assert broken_history(world.owner) == []


def test_an_agents_line_shows_that_its_session_is_held(
    world: World, clock: Clock, thread: str, operator: Caller
) -> None:
    del thread
    hold(world, operator, 60)
    bob = get_agent(world.deps, operator, "bob")
    assert (bob.seat_held_until, bob.seat_held_by) == (clock.now + timedelta(seconds=60), "olivia")
    clock.advance(60)
    bob = get_agent(world.deps, operator, "bob")
    assert (bob.seat_held_until, bob.seat_held_by) == (None, None)
