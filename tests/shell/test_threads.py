"""What posts and people do to a thread: thresholds, findings, statuses; and what that does to its wakes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bridge.commands.find_stalls import find_stalls
from bridge.commands.post_message import Draft, post_message
from bridge.commands.remove_participant import remove_participant
from bridge.commands.set_thread_status import set_thread_status
from bridge.core.caller import Caller
from bridge.core.errors import (
    Conflict,
    CursorOutOfRange,
    Forbidden,
    InsufficientAuthority,
    InvalidArgument,
    InvalidTransition,
    NotFound,
    ThreadNotOpen,
)
from bridge.core.states import MessageKind, Role, ThreadStatus, ThreadType
from tests.support.world import TEST_POLICY, WORKSPACE, Clock, FixedPolicies, World, make_caller


@pytest.fixture
def operator(world: World) -> Caller:
    """A human who may do anything; also a participant where a test says so."""
    world.agent("olivia", human=True)
    return world.caller("olivia", Role.OPERATOR)


def status(world: World, thread: str) -> dict[str, Any]:
    return world.owner.one("SELECT * FROM threads WHERE thread_id = :t", t=thread)


def open_agents(world: World, thread: str) -> list[str]:
    rows = world.owner.rows(
        "SELECT agent_id FROM wakes WHERE thread_id = :t "
        "AND state IN ('pending', 'delivering', 'touching', 'waiting') ORDER BY 1",
        t=thread,
    )
    return [row["agent_id"] for row in rows]


def finding(world: World, thread: str, sender: str, text: str = "off by one", **event: Any) -> None:  # noqa: ANN401
    said = {"type": "finding_reported", "finding_id": "f1", "file": "a.py", "line": 3, "text": text} | event
    world.post(thread, sender, kind=MessageKind.EVENT, event=said)


def test_the_post_that_reaches_the_turns_limit_blocks_in_its_own_transaction(
    world: World, clock: Clock, operator: Caller
) -> None:
    del clock
    thread = world.thread("alice", "bob", operator.agent_id)
    limit = TEST_POLICY.turns_max * 2
    for number in range(limit):
        posted = world.post(thread, ("alice", "bob")[number % 2])
        assert (posted.thread_status, posted.seq) == ("active", number + 1)
    assert open_agents(world, thread) == ["alice", "bob", "olivia"]
    last = world.post(thread, "alice")
    assert (last.thread_status, last.seq) == ("blocked", limit + 1)
    row = status(world, thread)
    assert (row["status"], row["turns"]) == ("blocked", limit)
    assert row["blocked_reason"] == f"{limit} turns without progress"
    assert [wake.agent_id for wake in last.wakes] == ["olivia"], "operators are woken even so"
    assert open_agents(world, thread) == ["olivia"]
    written = world.owner.rows(
        "SELECT xmin::text AS x FROM threads WHERE thread_id = :t UNION "
        "SELECT xmin::text FROM messages WHERE thread_id = :t AND seq = :seq UNION "
        "SELECT xmin::text FROM wakes WHERE thread_id = :t AND state = 'cancelled' UNION "
        "SELECT xmin::text FROM notices",
        t=thread,
        seq=last.seq,
    )
    assert len(written) == 1, "one transaction wrote all of it"
    told = world.owner.rows("SELECT audience FROM notices WHERE cause = :c ORDER BY 1", c=f"blocked:{thread}")
    assert [row["audience"] for row in told] == ["*operators", "alice"]


def test_the_same_finding_for_the_third_time_blocks(world: World, clock: Clock) -> None:
    del clock
    thread = world.thread("alice", "bob")
    finding(world, thread, "alice")
    finding(world, thread, "alice", "Off  by ONE!", finding_id="f2")
    assert status(world, thread)["status"] == "active"
    assert status(world, thread)["open_findings"] == 1
    finding(world, thread, "alice", finding_id="f3")
    row = status(world, thread)
    assert (row["status"], row["blocked_reason"]) == ("blocked", "the same finding was reported 3 times")


def test_other_findings_are_no_circle(world: World, clock: Clock) -> None:
    del clock
    thread = world.thread("alice", "bob")
    for number in range(5):
        finding(world, thread, "alice", finding_id=f"f{number}", line=number)
    assert status(world, thread)["status"] == "active"
    assert status(world, thread)["open_findings"] == 5
    verified = {"type": "finding_verified", "finding_id": "f1"}
    for _ in range(2):
        world.post(thread, "bob", kind=MessageKind.EVENT, event=verified)
        assert status(world, thread)["open_findings"] == 4


def test_a_conversation_is_warned_and_slowed_and_never_blocked(
    world: World, clock: Clock, policies: FixedPolicies
) -> None:
    policies.policy = dataclasses.replace(TEST_POLICY, turns_max=2)
    thread = world.thread("alice", "bob", kind=ThreadType.CONVERSATION)
    posts = [world.post(thread, ("alice", "bob")[number % 2]) for number in range(5)]
    assert [post.thread_status for post in posts] == ["active"] * 5
    world.owner.run("UPDATE wakes SET state = 'acked', offered_seq = target_seq")
    slowed = world.post(thread, "bob").wakes[0].wake_id
    row = world.wake(slowed)
    assert (row["reason"], (row["due_at"] - clock.now).total_seconds()) == ("slowed", TEST_POLICY.slow_s)
    notice = world.owner.one("SELECT * FROM notices WHERE audience = '*operators'")
    assert (notice["cause"], notice["count"]) == (f"circles:{thread}", 4)


def test_a_humans_message_and_progress_set_the_turns_back(
    world: World, clock: Clock, operator: Caller
) -> None:
    thread = world.thread("alice", "bob", operator.agent_id)
    for number in range(4):
        world.post(thread, ("alice", "bob")[number % 2])
    assert status(world, thread)["turns"] == 3
    clock.advance(5)
    post_message(world.deps, operator, thread, Draft("listen"))
    assert (status(world, thread)["turns"], status(world, thread)["progress_at"]) == (0, clock.now)
    world.post(thread, "alice")
    fix = {"type": "fix_pushed", "commit": "abc"}
    world.post(thread, "bob", kind=MessageKind.EVENT, event=fix)
    assert status(world, thread)["turns"] == 0
    world.post(thread, "alice")
    world.post(thread, "bob", kind=MessageKind.EVENT, event=fix)
    assert status(world, thread)["turns"] == 2, "the same commit again is no progress"


def test_a_post_to_a_resolved_thread_reopens_it_and_one_to_a_closed_thread_is_refused(
    world: World, clock: Clock, operator: Caller
) -> None:
    del clock
    thread = world.thread("alice", "bob")
    world.post(thread)
    set_thread_status(world.deps, operator, thread, status=ThreadStatus.RESOLVED, reason="done")
    posted = world.post(thread, body="one more thing")
    assert posted.thread_status == "active"
    assert [wake.agent_id for wake in posted.wakes] == ["bob"]
    set_thread_status(world.deps, operator, thread, status=ThreadStatus.CLOSED, reason="enough")
    assert open_agents(world, thread) == []
    with pytest.raises(ThreadNotOpen):
        world.post(thread)
    events = world.owner.rows("SELECT event FROM audit_events WHERE resource_id = :t ORDER BY n", t=thread)
    assert [row["event"] for row in events] == ["thread.resolved", "thread.active", "thread.closed"]


def test_blocking_cancels_and_unblocking_opens_one_wake_for_each_who_has_something_unread(
    world: World, clock: Clock, operator: Caller
) -> None:
    thread = world.thread("alice", "bob", "carol")
    world.live("bob")
    world.post(thread)
    set_thread_status(world.deps, operator, thread, status=ThreadStatus.BLOCKED, reason="circles")
    assert open_agents(world, thread) == []
    blocked = world.post(thread, "alice", to=("carol",))
    assert (blocked.thread_status, blocked.wakes) == ("blocked", ())
    world.owner.run("UPDATE participants SET last_read_seq = 99 WHERE agent_id = 'carol'")
    clock.advance(1)
    world.gateway.take()
    set_thread_status(world.deps, operator, thread, status=ThreadStatus.ACTIVE, reason="go on")
    assert open_agents(world, thread) == ["bob"]
    assert world.gateway.names() == ["wake.attempt"]
    assert status(world, thread)["turns"] == 0


def test_unblocking_while_a_cancelled_wake_is_still_typed_keeps_it(
    world: World, clock: Clock, operator: Caller
) -> None:
    del clock
    world.live("bob")
    thread = world.thread("alice", "bob")
    begun = world.touching(world.pending(thread))
    set_thread_status(world.deps, operator, thread, status=ThreadStatus.BLOCKED, reason="circles")
    set_thread_status(world.deps, operator, thread, status=ThreadStatus.ACTIVE, reason="go on")
    world.settle(begun)
    assert open_agents(world, thread) == ["bob"]


def test_two_who_race_for_a_status_the_first_wins(world: World, clock: Clock, operator: Caller) -> None:
    del clock
    thread = world.thread("alice", "bob")
    ask = {"reason": "r", "expected": ThreadStatus.ACTIVE}
    set_thread_status(world.deps, operator, thread, status=ThreadStatus.RESOLVED, **ask)  # type: ignore[arg-type]
    with pytest.raises(Conflict):
        set_thread_status(world.deps, operator, thread, status=ThreadStatus.BLOCKED, **ask)  # type: ignore[arg-type]


def test_authority_and_reasons_are_asked_for(world: World, clock: Clock, operator: Caller) -> None:
    del clock
    thread = world.thread("alice", "bob")
    with pytest.raises(Forbidden):
        set_thread_status(world.deps, world.caller("alice"), thread, status=ThreadStatus.BLOCKED, reason="r")
    with pytest.raises(Forbidden):
        set_thread_status(
            world.deps, world.caller("mallory"), thread, status=ThreadStatus.RESOLVED, reason="r"
        )
    carol = world.caller("carol", Role.COORDINATOR)
    with pytest.raises(InsufficientAuthority):
        set_thread_status(world.deps, carol, thread, status=ThreadStatus.CLOSED, reason="r")
    with pytest.raises(InsufficientAuthority):
        set_thread_status(world.deps, operator, thread, status=ThreadStatus.CLOSED, reason=" ")
    eve = make_caller("eve", Role.OPERATOR, workspace="ws_2")
    with pytest.raises(NotFound):
        set_thread_status(world.deps, eve, thread, status=ThreadStatus.BLOCKED, reason="r")
    set_thread_status(world.deps, operator, thread, status=ThreadStatus.CLOSED, reason="r")
    with pytest.raises(InvalidTransition):
        set_thread_status(world.deps, operator, thread, status=ThreadStatus.ACTIVE, reason="r")


def test_an_answer_moves_its_senders_cursor_and_ends_his_wake(world: World, clock: Clock) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob")
    asked = world.post(thread)
    wake_id = asked.wakes[0].wake_id
    world.waiting(wake_id)
    clock.advance(1)
    world.post(thread, "alice", "p.s.")
    world.post(thread, "bob", "an answer", in_reply_to=asked.message_id)
    assert world.wake(wake_id)["state"] == "acked"
    assert world.owner.value("SELECT last_read_seq FROM participants WHERE agent_id = 'bob'") == 1
    following = world.open_wake(thread, "bob")
    assert following is not None
    assert following["target_seq"] == 2
    world.post(thread, "bob", "read it all", last_read_seq=3)
    assert world.wake(following["wake_id"])["state"] == "already_active"
    assert world.owner.value("SELECT last_read_seq FROM participants WHERE agent_id = 'bob'") == 3
    world.post(thread, "bob", "an old answer", in_reply_to=asked.message_id)
    assert world.owner.value("SELECT last_read_seq FROM participants WHERE agent_id = 'bob'") == 3
    assert open_agents(world, thread) == ["alice"]


def test_what_is_refused_leaves_nothing_behind(world: World, clock: Clock) -> None:
    del clock
    thread = world.thread("alice", "bob")
    elsewhere = world.post(world.thread("alice", "bob"))
    refused: list[tuple[type[Exception], dict[str, Any]]] = [
        (InvalidArgument, {"to": ("nobody",)}),
        (InvalidArgument, {"to_role": "reviewer"}),
        (InvalidArgument, {"in_reply_to": elsewhere.message_id}),
        (InvalidArgument, {"in_reply_to": "msg_nowhere"}),
        (CursorOutOfRange, {"last_read_seq": 1}),
        (InvalidArgument, {"kind": MessageKind.SYSTEM}),
        (InvalidArgument, {"event": {"type": "fix_pushed"}}),
        (InvalidArgument, {"body": "nul \x00"}),
        (InvalidArgument, {"body": "half a pair \ud800"}),
    ]
    for error, fields in refused:
        draft = Draft(**({"body": "b"} | fields))
        with pytest.raises(error):
            post_message(world.deps, world.caller("alice"), thread, draft, key="k")
    with pytest.raises(Forbidden):
        post_message(world.deps, world.caller("mallory"), thread, Draft("b"), key="k")
    with pytest.raises(NotFound):
        post_message(world.deps, make_caller("alice", workspace="ws_2"), thread, Draft("b"), key="k")
    assert world.owner.value("SELECT count(*) FROM idempotency_keys") == 0
    assert status(world, thread)["last_seq"] == 0
    assert world.owner.value("SELECT count(*) FROM messages WHERE thread_id = :t", t=thread) == 0


def test_a_post_that_would_wake_too_many_is_refused_and_says_so(
    world: World, clock: Clock, policies: FixedPolicies
) -> None:
    del clock
    policies.policy = dataclasses.replace(TEST_POLICY, fan_out_max=20)
    crowd = world.thread("alice", *(f"a{number:02}" for number in range(21)))
    with pytest.raises(InvalidArgument, match="fan_out_max"):
        world.post(crowd)
    some = world.post(crowd, to=tuple(f"a{number:02}" for number in range(20)))
    assert len(some.wakes) == 20
    assert [wake.agent_id for wake in some.wakes] == sorted(wake.agent_id for wake in some.wakes)


def test_roles_and_names_choose_who_is_woken(world: World, clock: Clock) -> None:
    del clock
    thread = world.thread("alice", bob="reviewer", carol="executor")
    assert [wake.agent_id for wake in world.post(thread, to_role="reviewer").wakes] == ["bob"]
    assert [wake.agent_id for wake in world.post(thread, to=("carol", "carol", "alice")).wakes] == ["carol"]
    assert [wake.agent_id for wake in world.post(thread).wakes] == ["bob", "carol"]
    assert world.post(thread, to=("alice",)).wakes == ()
    assert world.post(thread, to=()).wakes == ()


def test_findings_without_progress_are_escalated_once(world: World, clock: Clock) -> None:
    thread = world.thread("alice", "bob")
    finding(world, thread, "alice")
    clock.advance(TEST_POLICY.stall_after_s - 1)
    assert find_stalls(world.deps, WORKSPACE) == 0
    clock.advance(1)
    assert find_stalls(world.deps, WORKSPACE) == 1
    assert find_stalls(world.deps, WORKSPACE) == 0
    row = status(world, thread)
    assert (row["stalled"], row["escalated"], row["status"]) == (True, True, "active")
    assert world.owner.value("SELECT count(*) FROM notices WHERE cause = :c", c=f"stalled:{thread}") == 1


def test_who_is_taken_out_is_not_woken(world: World, clock: Clock, operator: Caller) -> None:
    del clock
    thread = world.thread("alice", "bob", "carol")
    world.post(thread)
    remove_participant(world.deps, operator, thread, "bob")
    assert open_agents(world, thread) == ["carol"]
    assert status(world, thread)["participants"] == 2
    with pytest.raises(InvalidArgument):
        world.post(thread, to=("bob",))


def test_a_post_is_answered_even_while_somebody_holds_its_senders_wake(world: World) -> None:
    thread = world.thread("alice", "bob")
    wake_id = world.post(thread, "bob").wakes[0].wake_id
    with world.owner.holding("SELECT 1 FROM wakes WHERE wake_id = :id FOR UPDATE", id=wake_id):
        assert world.post(thread, "alice").seq == 2
