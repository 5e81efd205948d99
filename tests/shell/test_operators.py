"""What people ask of a wake: trigger, cancel, force, retry; and that each leaves its trace."""

from __future__ import annotations

import pytest

from bridge.commands.cancel_wake import cancel_wake
from bridge.commands.force_wake import force_wake
from bridge.commands.move_cursor import move_cursor
from bridge.commands.retry_wake import retry_wake
from bridge.commands.trigger_wake import trigger_wake
from bridge.core.caller import Caller
from bridge.core.errors import Forbidden, IdempotencyConflict, InvalidArgument, InvalidTransition, NotFound
from bridge.core.states import Evidence, Role
from bridge.queries.wake_story import explain_wake
from bridge.queries.wakes import list_wakes
from tests.support.invariants import broken
from tests.support.world import TEST_POLICY, Clock, World, make_caller


@pytest.fixture
def thread(world: World, clock: Clock) -> str:
    """A thread of alice and bob, whose session is live."""
    del clock
    world.live("bob")
    return world.thread("alice", "bob")


@pytest.fixture
def operator(world: World) -> Caller:
    """A human who may do anything."""
    return world.caller("olivia", Role.OPERATOR)


def audited(world: World, resource: str) -> list[str]:
    rows = world.owner.rows(
        "SELECT event, actor FROM audit_events WHERE resource_id = :id ORDER BY n", id=resource
    )
    return [f"{row['event']} by {row['actor']}" for row in rows]


def test_a_pending_wake_is_cancelled_on_request(world: World, thread: str, operator: Caller) -> None:
    wake_id = world.pending(thread)
    assert cancel_wake(world.deps, operator, wake_id, "not needed").state == "cancelled"
    assert "not needed" in world.wake(wake_id)["why"]
    assert audited(world, wake_id) == ["wake.cancelled by olivia"]
    with pytest.raises(InvalidTransition):
        cancel_wake(world.deps, operator, wake_id, "again")


def test_who_takes_no_part_cancels_nothing(world: World, thread: str) -> None:
    wake_id = world.pending(thread)
    with pytest.raises(Forbidden):
        cancel_wake(world.deps, world.caller("mallory"), wake_id, "mine")
    with pytest.raises(Forbidden):
        force_wake(world.deps, world.caller("alice"), wake_id, "now")
    with pytest.raises(NotFound):
        cancel_wake(world.deps, make_caller("eve", Role.OPERATOR, workspace="ws_2"), wake_id, "theirs")
    assert cancel_wake(world.deps, world.caller("alice"), wake_id, "mine").state == "cancelled"


def test_a_wake_that_is_being_typed_ends_when_its_hand_reports(
    world: World, thread: str, operator: Caller
) -> None:
    begun = world.touching(world.pending(thread))
    wake_id = begun.wake.wake_id
    assert cancel_wake(world.deps, operator, wake_id, "stop").state == "touching"
    assert audited(world, wake_id)[-1] == "wake.cancel_asked by olivia"
    assert world.settle(begun).state == "cancelled"
    assert world.owner.value("SELECT count(*) FROM attempts WHERE closed_at IS NULL") == 0


def test_a_message_that_comes_after_the_cancel_still_wakes(
    world: World, thread: str, operator: Caller
) -> None:
    begun = world.touching(world.pending(thread))
    cancel_wake(world.deps, operator, begun.wake.wake_id, "stop")
    posted = world.post(thread, body="and this is new")
    assert [wake.wake_id for wake in posted.wakes] == [begun.wake.wake_id]
    assert world.settle(begun).state == "cancelled", "what was typed is what was meant"
    following = world.open_wake(thread, "bob")
    assert following is not None
    assert following["target_seq"] == 2


def test_force_skips_the_wait_once_and_is_written_down(
    world: World, clock: Clock, thread: str, operator: Caller
) -> None:
    wake_id = world.post(thread, delay_s=60.0).wakes[0].wake_id
    world.gateway.take()
    forced = force_wake(world.deps, operator, wake_id, "cannot wait")
    assert (forced.due_at, forced.forced) == (clock.now, True)
    assert [ring.row_id for ring in world.gateway.take()] == [wake_id]
    assert audited(world, wake_id) == ["wake.forced by olivia"]
    assert [step.event for step in explain_wake(world.deps, operator, wake_id).steps] == ["opened", "forced"]
    begun = world.touching(wake_id)
    assert begun.attempt.force
    with pytest.raises(InvalidTransition):
        force_wake(world.deps, operator, wake_id, "again")
    world.settle(begun, Evidence.ABSENT)
    assert not world.wake(wake_id)["forced"]


def test_a_wake_that_failed_is_retried_as_a_new_one_that_names_it(
    world: World, clock: Clock, thread: str, operator: Caller
) -> None:
    wake_id = world.pending(thread)
    with pytest.raises(InvalidTransition):
        retry_wake(world.deps, operator, wake_id)
    world.waiting(wake_id)
    clock.advance(TEST_POLICY.live.read_timeout_s)
    world.advance(wake_id)
    world.gateway.take()
    opened = retry_wake(world.deps, operator, wake_id)
    row = world.wake(opened)
    assert (row["retry_of"], row["state"], row["reason"], row["due_at"]) == (
        wake_id,
        "pending",
        "first",
        clock.now,
    )
    assert row["tried_live"] == 0
    assert [ring.row_id for ring in world.gateway.take()] == [opened]
    assert audited(world, wake_id)[-1] == "wake.retried by olivia"
    assert retry_wake(world.deps, operator, wake_id) == opened, "one open wake an agent and thread"


def test_a_trigger_opens_a_wake_up_to_the_last_message_and_says_who_asked(
    world: World, thread: str, operator: Caller
) -> None:
    first = world.pending(thread)
    cancel_wake(world.deps, operator, first, "later")
    answer = trigger_wake(world.deps, operator, thread, target_agent_id="bob", reason="it is important")
    assert (answer.result, answer.target_seq) == ("queued", 1)
    assert answer.wake_id is not None
    assert world.wake(answer.wake_id)["target_seq"] == 1
    assert audited(world, thread) == ["thread.wake_triggered by olivia"]
    move_cursor(world.deps, world.caller("bob"), thread, 1)
    again = trigger_wake(world.deps, operator, thread, target_agent_id="bob", reason="again")
    assert (again.result, again.wake_id) == ("already_active", None)


def test_a_triggers_prompt_is_a_message_to_that_agent(world: World, thread: str, operator: Caller) -> None:
    answer = trigger_wake(
        world.deps,
        operator,
        thread,
        target_agent_id="bob",
        reason="why",
        trigger_prompt="look at CI",
        key="k1",
    )
    message = world.owner.one("SELECT * FROM messages")
    assert (message["kind"], message["body"], message["to_agents"]) == ("system", "look at CI", ["bob"])
    assert message["metadata"] == {"triggered_by": "olivia", "reason": "why"}
    replay = trigger_wake(
        world.deps,
        operator,
        thread,
        target_agent_id="bob",
        reason="why",
        trigger_prompt="look at CI",
        key="k1",
    )
    assert (replay.wake_id, replay.replayed) == (answer.wake_id, True)
    with pytest.raises(IdempotencyConflict):
        trigger_wake(world.deps, operator, thread, target_agent_id="bob", reason="other", key="k1")
    assert world.owner.value("SELECT last_seq FROM threads") == 1


def test_a_trigger_says_when_nobody_is_live_and_refuses_who_is_not_there(
    world: World, thread: str, operator: Caller
) -> None:
    world.owner.run(
        "INSERT INTO participants (thread_id, agent_id, workspace_id, joined_at) "
        "VALUES (:t, 'carol', 'ws_1', bridge_now())",
        t=thread,
    )
    world.post(thread)
    answer = trigger_wake(world.deps, operator, thread, target_agent_id="carol", reason="r")
    assert (answer.result, answer.action) == ("fallback_required", "fall_back")
    with pytest.raises(InvalidArgument):
        trigger_wake(world.deps, operator, thread, target_agent_id="nobody", reason="r")
    with pytest.raises(Forbidden):
        trigger_wake(world.deps, world.caller("alice"), thread, target_agent_id="bob", reason="r", force=True)
    with pytest.raises(Forbidden):
        trigger_wake(world.deps, world.caller("mallory"), thread, target_agent_id="bob", reason="r")


def test_wakes_are_read_by_who_takes_part_and_by_nobody_else(
    world: World, thread: str, operator: Caller
) -> None:
    wake_id = world.pending(thread)
    assert [view.wake_id for view in list_wakes(world.deps, operator).items] == [wake_id]
    assert [view.wake_id for view in list_wakes(world.deps, world.caller("alice")).items] == [wake_id]
    assert list_wakes(world.deps, world.caller("mallory")).items == ()
    assert list_wakes(world.deps, make_caller("eve", Role.OPERATOR, workspace="ws_2")).items == ()
    with pytest.raises(Forbidden):
        list_wakes(world.deps, world.caller("host:local", Role.HOST))
    with pytest.raises(Forbidden):
        explain_wake(world.deps, world.caller("mallory"), wake_id)
    with pytest.raises(NotFound):
        explain_wake(world.deps, make_caller("eve", Role.OPERATOR, workspace="ws_2"), wake_id)


def test_who_triggered_a_wake_by_hand_is_told_as_a_sender_when_it_fails(
    world: World, clock: Clock, operator: Caller
) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob", "carol")
    world.post(thread, to=["bob"])
    raised = trigger_wake(
        world.deps, world.caller("carol"), thread, target_agent_id="bob", reason="the build is red"
    )
    prompted = trigger_wake(
        world.deps, operator, thread, target_agent_id="bob", reason="it is late", trigger_prompt="look at CI"
    )
    assert raised.wake_id is not None
    assert raised.wake_id == prompted.wake_id, "one open wake an agent and thread"
    world.waiting(raised.wake_id)
    clock.advance(TEST_POLICY.live.read_timeout_s)
    assert world.advance(raised.wake_id).wake.state == "failed"
    told = world.owner.rows("SELECT audience, text FROM notices ORDER BY audience")
    assert [row["audience"] for row in told] == ["*operators", "alice", "carol", "olivia"]
    assert {row["text"] for row in told} == {
        "bob could not be woken (tried: live 1): the text was taken, but the message was not read within 30 s"
    }
    asked = [
        (step.event, step.why)
        for step in explain_wake(world.deps, operator, raised.wake_id).steps
        if step.event == "triggered"
    ]
    assert asked == [
        ("triggered", "asked for by carol: the build is red"),
        ("triggered", "asked for by olivia: it is late"),
    ]
    assert broken(world.owner) == {}


def test_who_retried_a_wake_is_told_when_it_fails_again_and_its_reason_stands(
    world: World, clock: Clock, thread: str, operator: Caller
) -> None:
    wake_id = world.pending(thread)
    world.waiting(wake_id)
    clock.advance(TEST_POLICY.live.read_timeout_s)
    world.advance(wake_id)
    opened = retry_wake(world.deps, operator, wake_id, "bob is back")
    assert [step.why for step in explain_wake(world.deps, operator, opened).steps] == [
        "to be read up to 1",
        "asked for by olivia: bob is back",
    ]
    after = world.owner.value(
        "SELECT after FROM audit_events WHERE resource_id = :w AND event = 'wake.retried'", w=wake_id
    )
    assert after == {"opened": opened, "reason": "bob is back"}
    world.waiting(opened)
    clock.advance(TEST_POLICY.live.read_timeout_s)
    world.advance(opened)
    assert world.owner.value("SELECT count(*) FROM notices WHERE audience = 'olivia'") == 1


def test_a_refusal_says_why_there_is_nothing_to_do(world: World, thread: str, operator: Caller) -> None:
    wake_id = world.pending(thread)
    with pytest.raises(
        InvalidTransition, match="the wake is pending: let it go on, or force it, or cancel it"
    ):
        retry_wake(world.deps, operator, wake_id)
    world.waiting(wake_id)
    with pytest.raises(InvalidTransition, match="it waits for nothing that could be skipped"):
        force_wake(world.deps, operator, wake_id, "now")
    move_cursor(world.deps, world.caller("bob"), thread, 1)
    with pytest.raises(
        InvalidTransition, match="the wake is acked: the agent has read it, there is nothing to retry"
    ):
        retry_wake(world.deps, operator, wake_id)
    with pytest.raises(InvalidTransition, match="it has ended, there is nothing to cancel"):
        cancel_wake(world.deps, operator, wake_id, "late")
    with pytest.raises(InvalidTransition, match="it has ended, there is no wait to skip"):
        force_wake(world.deps, operator, wake_id, "late")
