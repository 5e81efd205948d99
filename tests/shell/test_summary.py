"""A thread's summary over the real database: what it finds, whom it waits for, how far it looks."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.commands.move_cursor import move_cursor
from bridge.commands.set_thread_status import set_thread_status
from bridge.commands.trigger_wake import trigger_wake
from bridge.core.errors import Forbidden, NotFound
from bridge.core.states import FindingStatus, MessageKind, Role, ThreadStatus
from bridge.core.summary import EXCERPT_CHARS_MAX, Summary, Why
from bridge.queries.summary import LOOK_BACK, get_summary, look, questions_to
from tests.support.statements import statements_of
from tests.support.world import World, make_caller


def summed(world: World, thread: str, max_messages: int = 20) -> Summary:
    return get_summary(world.deps, world.caller("alice"), thread, max_messages)


def report(world: World, thread: str, name: str, **more: Any) -> int:  # noqa: ANN401  of the event
    said = {
        "type": "finding_reported",
        "finding_id": name,
        "file": "a.py",
        "line": 3,
        "text": f"text of {name}",
    }
    return world.post(thread, "alice", "", kind=MessageKind.EVENT, event=said | more).seq


def waits(summary: Summary) -> dict[int, tuple[str, ...]]:
    return {one.seq: one.waits_for for one in summary.key_messages if one.waits_for}


def test_findings_stand_as_the_events_left_them(world: World) -> None:
    thread = world.thread("alice", "bob")
    for name in ("f-1", "f-2", "f-3", "f-4"):
        report(world, thread, name, severity="high")
    fix = {"type": "fix_pushed", "commit": "c1", "finding_ids": ["f-2", "f-3"]}
    world.post(thread, "bob", "", kind=MessageKind.EVENT, event=fix)
    for kind, name in (("finding_verified", "f-3"), ("finding_rejected", "f-4")):
        world.post(thread, "alice", "", kind=MessageKind.EVENT, event={"type": kind, "finding_id": name})
    found = summed(world, thread)
    assert [(one.finding_id, one.status) for one in found.open_findings] == [
        ("f-1", FindingStatus.OPEN),
        ("f-2", FindingStatus.FIXED),
    ]
    assert [one.finding_id for one in found.closed_findings] == ["f-4", "f-3"]
    first = found.open_findings[0]
    assert (first.file, first.line, first.severity, first.text, first.reported_by, first.opened_seq) == (
        "a.py",
        3,
        "high",
        "text of f-1",
        "alice",
        1,
    )


def test_decisions_and_the_last_change_of_status_are_told(world: World) -> None:
    thread = world.thread("alice", "bob")
    decision = {"type": "decision", "text": "we take plan B"}
    world.post(thread, "bob", "", kind=MessageKind.EVENT, event=decision)
    assert summed(world, thread).last_status is None
    root = world.caller("root", Role.OPERATOR)
    set_thread_status(world.deps, root, thread, status=ThreadStatus.BLOCKED, reason="in circles")
    blocked = summed(world, thread).last_status
    assert blocked is not None
    assert (blocked.status, blocked.was, blocked.by, blocked.why) == (
        "blocked",
        "active",
        "root",
        "in circles",
    )
    set_thread_status(world.deps, root, thread, status=ThreadStatus.ACTIVE, reason="talked it over")
    found = summed(world, thread)
    assert found.last_status is not None
    assert found.last_status.why == "root set the thread to active: talked it over"
    assert [(one.seq, one.sender_agent_id, one.text) for one in found.decisions] == [
        (1, "bob", "we take plan B")
    ]


def test_a_message_waits_for_those_it_is_addressed_to_until_they_answer(world: World) -> None:
    thread = world.thread("alice", bob="reviewer", carol="reviewer")
    world.post(thread, "alice", "to all")
    asked = world.post(thread, "alice", "which plan?", to_role="reviewer")
    world.post(thread, "alice", "and you?", to=("bob",))
    assert waits(summed(world, thread)) == {2: ("bob", "carol"), 3: ("bob",)}
    world.post(thread, "bob", "B", in_reply_to=asked.message_id)
    assert waits(summed(world, thread)) == {2: ("carol",), 3: ("bob",)}


def test_a_post_of_one_who_has_not_read_the_question_is_no_answer_to_it(world: World) -> None:
    thread = world.thread("alice", "bob")
    world.post(thread, "alice", "which plan?", to=("bob",))
    world.post(thread, "bob", "by the way")
    assert waits(summed(world, thread)) == {1: ("bob",)}
    move_cursor(world.deps, world.caller("bob"), thread, 1)
    assert waits(summed(world, thread)) == {}
    world.post(thread, "alice", "and now?", to=("bob",))
    move_cursor(world.deps, world.caller("bob"), thread, 3)
    assert waits(summed(world, thread)) == {3: ("bob",)}
    world.post(thread, "bob", "now A")
    assert waits(summed(world, thread)) == {}


def test_a_prompt_that_somebody_was_triggered_with_waits_for_it(world: World) -> None:
    thread = world.thread("alice", "bob")
    root = world.caller("root", Role.OPERATOR)
    trigger_wake(
        world.deps, root, thread, target_agent_id="bob", reason="r", trigger_prompt="look at the build"
    )
    with world.deps.unit(world.workspace) as uow:
        (asked,) = questions_to(uow, look(uow, thread), "bob", 5)
        assert questions_to(uow, look(uow, thread), "alice", 5) == ()
    assert (asked.text, asked.kind) == ("look at the build", MessageKind.SYSTEM)


def test_key_messages_are_chosen_by_reason_and_bounded(world: World) -> None:
    thread = world.thread("alice", "bob", "hugo")
    world.owner.run("UPDATE agents SET is_human = true WHERE agent_id = 'hugo'")
    world.post(thread, "alice", "what this is about")
    world.post(thread, "alice", "which plan?", to=("bob",))
    world.post(thread, "hugo", "I prefer B")
    report(world, thread, "f-1")
    for number in range(30):
        world.post(thread, "alice", f"chatter {number} " + "x" * 2000)
    found = summed(world, thread, 5)
    assert [(one.seq, one.why) for one in found.key_messages] == [
        (1, (Why.OPENING,)),
        (2, (Why.UNANSWERED,)),
        (3, (Why.HUMAN,)),
        (4, (Why.EVENT,)),
        (34, (Why.NEWEST,)),
    ]
    assert found.key_messages[3].text == "text of f-1"
    assert len(found.key_messages[4].text) == EXCERPT_CHARS_MAX
    assert summed(world, thread, 5) == found


def test_a_thread_with_no_message_has_a_summary(world: World) -> None:
    found = summed(world, world.thread("alice"))
    assert (found.last_seq, found.from_seq, found.key_messages, found.last_status) == (0, 1, (), None)


def test_of_a_long_thread_only_the_newest_part_is_looked_at_and_that_is_said(world: World) -> None:
    thread = world.thread("alice", "bob")
    world.post(thread, "alice", "what this is about")
    world.post(thread, "alice", "long ago", to=("bob",))
    last = LOOK_BACK + 10
    world.owner.run(
        "INSERT INTO messages (thread_id, seq, message_id, workspace_id, schema_version, kind, body, sender_agent_id, "
        "created_at, hash) SELECT :t, n, 'm' || n, :ws, 1, 'chat', 'x', 'alice', bridge_now(), '' "
        "FROM generate_series(3, :last) n",
        t=thread,
        ws=world.workspace,
        last=last,
    )
    world.owner.run("UPDATE threads SET last_seq = :last WHERE thread_id = :t", t=thread, last=last)
    with statements_of(world.deps) as statements:
        found = summed(world, thread, 100)
    assert found.from_seq == 11
    assert [one.seq for one in found.key_messages] == [1, *range(last - 98, last + 1)]
    assert len(statements) < 15


@pytest.mark.parametrize("role", [Role.COORDINATOR, Role.OPERATOR, Role.AUDITOR])
def test_participants_read_their_own_threads_and_others_any(world: World, role: Role) -> None:
    thread = world.thread("alice", "bob")
    assert get_summary(world.deps, world.caller("zoe", role), thread).thread_id == thread
    with pytest.raises(Forbidden):
        get_summary(world.deps, world.caller("zoe"), thread)
    with pytest.raises(NotFound):
        get_summary(world.deps, make_caller("alice", role, workspace="ws_2"), thread)
