"""Who races whom for a thread's status, who escalates it and to whom, and what is left of it in the audit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import permutations

import pytest

from bridge.commands.end_escalation import end_escalation
from bridge.commands.escalate_thread import escalate_thread
from bridge.commands.find_stalls import find_stalls
from bridge.commands.set_thread_status import set_thread_status
from bridge.core.caller import Caller
from bridge.core.errors import Conflict, Forbidden, InsufficientAuthority
from bridge.core.states import MessageKind, Role, ThreadStatus
from bridge.core.thread import LEGAL_STATUS
from bridge.db.deps import Deps
from bridge.queries.inbox import inbox
from bridge.queries.summary import get_summary
from bridge.queries.threads import get_thread
from tests.support.audit import broken_history
from tests.support.threads import at_once, waiting_for_a_lock
from tests.support.world import TEST_POLICY, WORKSPACE, Clock, World

S = ThreadStatus
PAIRS = [
    (old, first, second)
    for old, legal in LEGAL_STATUS.items()
    for first, second in [*permutations(sorted(legal), 2), *((status, status) for status in sorted(legal))]
]


def escalate(
    world: World, thread: str, caller: Caller, owner: str | None = None, reason: str = "stuck"
) -> None:
    summary = get_summary(world.deps, caller, thread)
    escalate_thread(world.deps, caller, thread, owner=owner, reason=reason, summary=summary)


@pytest.fixture
def operator(world: World) -> Caller:
    return world.caller("olivia", Role.OPERATOR)


@pytest.fixture
def chief(world: World) -> Caller:
    return world.caller("chief", Role.COORDINATOR)


@pytest.mark.parametrize(("old", "first", "second"), PAIRS)
def test_of_two_who_race_for_a_status_the_first_wins_and_the_other_is_told_conflict(
    world: World, process: Callable[[], Deps], operator: Caller, old: S, first: S, second: S
) -> None:
    thread = world.thread("alice", "bob")
    if old is not S.ACTIVE:
        set_thread_status(world.deps, operator, thread, status=old, reason="to begin with")

    def ask(web: Deps, status: S, reason: str) -> str:
        return set_thread_status(web, operator, thread, status=status, reason=reason)

    def let_go() -> str:
        waiting_for_a_lock(world.owner, 2)  # both have looked, and stand at the lock
        held.rollback()
        return "let go"

    hands: list[Callable[[], str]] = [
        partial(ask, process(), first, "hand 1"),
        partial(ask, process(), second, "hand 2"),
        let_go,
    ]
    with world.owner.holding("SELECT 1 FROM threads WHERE thread_id = :t FOR UPDATE", t=thread) as held:
        found = at_once(hands)[:2]
    (lost,) = [one for one in found if isinstance(one, Exception)]
    (won,) = [one for one in found if not isinstance(one, Exception)]
    assert type(lost) is Conflict
    assert world.owner.value("SELECT status FROM threads WHERE thread_id = :t", t=thread) == won
    told = world.owner.rows(
        "SELECT 1 FROM audit_events WHERE event = :e AND after ->> 'why' LIKE 'hand%'", e=f"thread.{won}"
    )
    assert len(told) == 1


def test_an_owner_that_takes_part_is_woken_and_reads_how_the_thread_stands(
    world: World, clock: Clock, chief: Caller
) -> None:
    thread = world.thread("alice", "bob", "carol")
    event = {"type": "finding_reported", "finding_id": "f1", "file": "a.py", "line": 7, "text": "off by one"}
    world.post(thread, "alice", "", to=("bob",), kind=MessageKind.EVENT, event=event)
    escalate(world, thread, chief, "carol", "who is right?")
    said = world.owner.one("SELECT sender_agent_id, to_agents, body FROM messages WHERE kind = 'system'")
    assert (said["sender_agent_id"], said["to_agents"]) == ("wakebridge", ["carol"])
    assert said["body"].startswith(
        "chief escalated the thread to carol: who is right?\nactive, messages: 1, open"
    )
    assert "\nopen: f1 (seq 1)\n" in said["body"]
    assert "off by one" not in said["body"], "what others wrote is redacted where it stands, and nowhere else"
    woken = world.owner.rows("SELECT agent_id FROM wakes WHERE target_seq = 2")
    assert [row["agent_id"] for row in woken] == ["carol"]
    seen = get_thread(world.deps, world.caller("alice"), thread)
    assert seen.escalated
    assert seen.escalation is not None
    assert (seen.escalation.by, seen.escalation.owner, seen.escalation.at) == ("chief", "carol", clock.now)
    assert seen.status == "active"


def test_operators_are_told_in_one_notice_and_an_owner_who_takes_no_part_in_its_inbox(
    world: World, chief: Caller
) -> None:
    thread = world.thread("alice", "bob")
    escalate(world, thread, chief, "dora")
    escalate(world, thread, chief, "dora", "still stuck")
    escalate(world, thread, chief, "dora", "still stuck")
    told = world.owner.rows("SELECT audience, count FROM notices ORDER BY audience")
    assert [(row["audience"], row["count"]) for row in told] == [("*operators", 2), ("dora", 2)]
    (notice,) = inbox(world.deps, world.caller("dora")).notices
    assert notice.text == "chief escalated the thread to dora: still stuck"


def test_every_escalation_is_audited_with_what_was_before_and_after(
    world: World, chief: Caller, operator: Caller
) -> None:
    thread = world.thread("alice", "bob")
    escalate(world, thread, chief)
    escalate(world, thread, operator, "carol", "carol knows")
    end_escalation(world.deps, operator, thread, "settled")
    rows = world.owner.rows(
        "SELECT event, actor, before, after FROM audit_events WHERE resource_id = :t ORDER BY n", t=thread
    )
    assert [(row["event"], row["actor"]) for row in rows] == [
        ("thread.escalated", "chief"),
        ("thread.escalation_reassigned", operator.agent_id),
        ("thread.escalation_ended", operator.agent_id),
    ]
    assert rows[0]["before"]["escalation"] is None
    assert rows[1]["before"]["escalation"] == {"by": "chief", "owner": None, "reason": "stuck"}
    assert rows[1]["after"]["escalation"]["owner"] == "carol"
    assert (rows[2]["after"]["escalation"], rows[2]["after"]["why"]) == (None, "settled")
    assert broken_history(world.owner) == []


def test_a_participant_escalates_nothing_and_a_coordinator_closes_nothing_that_is_disputed(
    world: World, chief: Caller, operator: Caller
) -> None:
    thread = world.thread("alice", "bob")
    with pytest.raises(Forbidden):
        escalate(world, thread, world.caller("alice"))
    escalate(world, thread, operator)
    set_thread_status(world.deps, chief, thread, status=S.RESOLVED, reason="done")
    for attempt in (
        partial(end_escalation, world.deps, chief, thread),
        partial(escalate, world, thread, chief, "chief"),
        partial(set_thread_status, world.deps, chief, thread, status=S.CLOSED, reason="done"),
    ):
        with pytest.raises(InsufficientAuthority):
            attempt()
    set_thread_status(world.deps, operator, thread, status=S.CLOSED, reason="I looked")
    closed = world.owner.one("SELECT actor, before, after FROM audit_events WHERE event = 'thread.closed'")
    assert (closed["actor"], closed["after"]["why"]) == (operator.agent_id, "I looked")
    assert (closed["before"]["escalated"], closed["after"]["escalated"]) == (True, False)


def test_a_stall_is_escalated_by_the_bridge_to_any_operator(world: World, clock: Clock) -> None:
    thread = world.thread("alice", "bob")
    event = {"type": "finding_reported", "finding_id": "f1", "text": "off by one"}
    world.post(thread, "alice", "", kind=MessageKind.EVENT, event=event)
    clock.advance(TEST_POLICY.stall_after_s)
    assert find_stalls(world.deps, WORKSPACE) == 1
    raised = get_thread(world.deps, world.caller("alice"), thread).escalation
    assert raised is not None
    assert (raised.by, raised.owner, raised.at) == ("wakebridge", None, clock.now)
    assert raised.reason == "1 open findings and no progress for 3600 s"
    assert (
        world.owner.value("SELECT event FROM audit_events WHERE resource_id = :t", t=thread)
        == "thread.escalated"
    )


def test_what_code_of_the_revision_before_escalated_is_read_as_the_bridges(world: World) -> None:
    thread = world.thread("alice", "bob")
    world.owner.run("UPDATE threads SET escalated = true WHERE thread_id = :t", t=thread)
    raised = get_thread(world.deps, world.caller("alice"), thread).escalation
    assert raised is not None
    assert (raised.by, raised.owner) == ("wakebridge", None)
