"""The chains: audit per row, messages per thread; what they say can be computed again from the stored rows."""

from __future__ import annotations

from dataclasses import replace

from bridge.commands.add_participant import add_participant
from bridge.commands.issue_token import issue_token
from bridge.commands.pause_scope import pause_scope
from bridge.commands.remove_participant import remove_participant
from bridge.core.audit import Problem
from bridge.core.states import Role
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


def test_an_audit_event_says_who_asked_for_what_and_how_it_was_before(world: World, clock: Clock) -> None:
    thread = play(world, clock)
    operator = world.caller("olivia", Role.OPERATOR)
    add_participant(world.deps, operator, thread, "carl", "reviewer")
    add_participant(world.deps, operator, thread, "carl", "author")
    remove_participant(world.deps, operator, thread, "carl")
    pause_scope(world.deps, operator, "agent:carol", "still away")
    issue_token(
        world.deps,
        replace(operator, workspace_id="default"),
        workspace_id="ws_new",
        agent_id="zoe",
        role=Role.PARTICIPANT,
        session_id="ses_z",
        life_s=60,
    )
    said = world.owner.rows(
        "SELECT event, actor, request_id, before, after FROM audit_events "
        "WHERE event LIKE 'thread.participant%' OR (event = 'pause.set' AND resource_id = 'agent:carol') "
        "OR event = 'workspace.served' ORDER BY event, n"
    )
    as_reviewer, as_author = ({"agent_id": "carl", "role": role} for role in ("reviewer", "author"))
    assert [(row["event"], row["before"], row["after"]) for row in said] == [
        ("pause.set", {}, {"reason": "away"}),
        ("pause.set", {"reason": "away"}, {"reason": "still away"}),
        ("thread.participant_added", {}, as_reviewer),
        ("thread.participant_changed", as_reviewer, as_author),
        ("thread.participant_removed", as_author, {}),
        ("workspace.served", {}, {}),
    ]
    assert {(row["actor"], row["request_id"]) for row in said} == {("olivia", "req_1")}
