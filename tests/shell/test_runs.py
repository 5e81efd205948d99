"""Runs through the commands, with processes that are played: started, proved, read, ended; slots, seat, breaker."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from bridge.bootstrap import Container
from bridge.commands.cancel_wake import cancel_wake
from bridge.commands.end_run import end_run
from bridge.commands.heartbeat_session import heartbeat_session
from bridge.commands.move_cursor import move_cursor
from bridge.commands.rouse_wake import rouse_wake
from bridge.core.errors import InvalidTransition
from bridge.core.policy import Policy, RungLimits
from bridge.core.run import EndAsked, Ended, Proved
from bridge.core.states import Evidence, Role, Rung, RunResult, SessionStatus, WaitReason
from tasks.start_run import note_never_started
from tests.support.world import TEST_POLICY, Clock, FixedPolicies, World, make_caller

LADDER = replace(
    TEST_POLICY,
    resume=RungLimits(tries=2, accept_timeout_s=20.0, read_timeout_s=30.0),
    spawn=RungLimits(tries=1, accept_timeout_s=20.0, read_timeout_s=30.0),
    kill_after_s=120.0,
)
CRASH = Ended(RunResult.CRASHED, 1, "exit status 1")


@pytest.fixture
def ladder(policies: FixedPolicies) -> Policy:
    """A ladder with all its rungs."""
    policies.policy = LADDER
    return LADDER


@pytest.fixture
def thread(world: World, clock: Clock, ladder: Policy) -> str:
    """Alice writes to bob, whose process has ended and whose session can be resumed."""
    del clock, ladder
    world.dormant("bob")
    thread_id = world.thread("alice", "bob")
    world.gateway.take()
    return thread_id


def test_a_dormant_agent_is_resumed_proves_itself_reads_and_the_wake_is_acked(
    world: World, clock: Clock, thread: str
) -> None:
    wake_id = world.pending(thread)
    begun = world.started(wake_id)
    assert (begun.attempt.rung, begun.attempt.session_id) == (Rung.RESUME, "ses_bob")
    assert begun.run is not None
    assert (begun.run.preset, begun.run.host, begun.run.slot) == ("script", "local", 1)
    row = world.wake(wake_id)
    assert (row["state"], row["accepted_at"], row["offered_seq"]) == ("waiting", None, 0)
    clock.advance(1)
    world.move(begun, Proved("native-1", resumable=True))
    assert (world.wake(wake_id)["accepted_at"], world.wake(wake_id)["offered_seq"]) == (clock.now, 1)
    assert world.wake(wake_id)["due_at"] == clock.now + timedelta(seconds=30)
    move_cursor(world.deps, world.caller("bob"), thread, 1)
    assert world.wake(wake_id)["state"] == "acked"
    assert world.run(begun)["end_asked_at"] is None, "what was read may go on working"
    world.move(begun, Ended(RunResult.EXITED, 0))
    assert world.run(begun)["state"] == "ended"
    assert world.owner.value("SELECT count(*) FROM slots WHERE run_id IS NOT NULL") == 0
    session = world.owner.one("SELECT * FROM sessions WHERE session_id = 'ses_bob'")
    assert (session["native_id"], session["status"]) == ("native-1", "offline")


def test_an_exit_unread_is_judged_at_once_and_twice_is_the_end_of_resuming(
    world: World, clock: Clock, thread: str
) -> None:
    wake_id = world.pending(thread)
    first = world.started(wake_id)
    world.move(first, CRASH)
    row = world.wake(wake_id)
    assert (row["state"], row["reason"], row["tried_resume"]) == ("pending", "backoff", 1)
    assert row["due_at"] == clock.now + timedelta(seconds=LADDER.backoff_s_initial)
    assert "exit status 1" in row["why"]
    clock.advance(2)
    second = world.started(wake_id)
    world.move(second, CRASH)
    assert world.wake(wake_id)["reason"] == "fallback"
    third = world.started(wake_id)
    assert third.attempt.rung is Rung.SPAWN
    assert third.attempt.session_id not in {"ses_bob", ""}
    world.move(third, Proved("native-2", resumable=True))
    seat = world.owner.value("SELECT seat_session_id FROM agents WHERE agent_id = 'bob'")
    assert seat == third.attempt.session_id, "what was spawned is where the agent is now"


def test_a_process_that_ends_before_its_hand_reports_is_judged_and_the_hand_comes_too_late(
    world: World, thread: str
) -> None:
    wake_id = world.pending(thread)
    world.advance(wake_id)
    begun = world.touch(wake_id)
    world.move(begun, CRASH)
    row = world.wake(wake_id)
    assert (row["state"], row["tried_resume"], row["offered_seq"]) == ("pending", 1, 0)


def test_a_proof_before_the_hand_reports_is_not_lost(world: World, thread: str) -> None:
    wake_id = world.pending(thread)
    world.advance(wake_id)
    begun = world.touch(wake_id)
    world.move(begun, Proved("native-1"))
    assert world.wake(wake_id)["state"] == "touching"
    world.settle(begun, Evidence.UNVERIFIED)
    assert world.wake(wake_id)["accepted_at"] is not None


def test_a_run_that_shows_nothing_in_time_is_asked_to_end_and_nothing_starts_until_it_has(
    world: World, clock: Clock, thread: str
) -> None:
    wake_id = world.pending(thread)
    begun = world.started(wake_id)
    clock.advance(20)
    world.advance(wake_id)
    assert world.run(begun)["state"] == "ending"
    assert world.wake(wake_id)["reason"] == "backoff"
    clock.advance(2)
    world.advance(wake_id)
    assert world.wake(wake_id)["reason"] == "slot", "its process still lives"
    world.gateway.take()
    world.move(begun, Ended(RunResult.KILLED, -15))
    assert world.gateway.names() == ["wake.recheck_deferred"], "its end lets the wake look at once"
    assert world.started(wake_id).attempt.rung is Rung.RESUME


def test_a_cancel_ends_the_run_and_so_does_an_operator(world: World, thread: str) -> None:
    wake_id = world.pending(thread)
    begun = world.started(wake_id)
    cancel_wake(world.deps, world.caller("op", Role.OPERATOR), wake_id, "enough")
    assert world.run(begun)["state"] == "ending"
    world.move(begun, Ended(RunResult.KILLED, -15))
    again = world.started(world.pending(thread))
    after = end_run(
        world.deps, world.caller("op", Role.OPERATOR), str(world.run(again)["run_id"]), "it hangs"
    )
    assert after.why == "ended by op: it hangs"
    world.move(again, Ended(RunResult.KILLED, -9))
    with pytest.raises(InvalidTransition):
        end_run(world.deps, world.caller("op", Role.OPERATOR), after.run_id, "again")


def test_a_terminal_that_takes_the_seat_meanwhile_is_never_started_beside(world: World, thread: str) -> None:
    wake_id = world.pending(thread)
    advanced = world.advance(wake_id)
    assert advanced.probe is not None
    assert advanced.probe.rung is Rung.RESUME
    world.live("bob", "ses_bob")
    with pytest.raises(AssertionError):
        world.touch(wake_id)
    row = world.wake(wake_id)
    assert (row["state"], row["reason"]) == ("pending", "fallback")
    assert world.owner.value("SELECT count(*) FROM runs") == 0
    again = world.advance(wake_id)
    assert again.probe is not None
    assert again.probe.rung is Rung.LIVE


def test_a_new_session_in_the_middle_of_a_wake_is_typed_into_not_answered_with_a_process(
    world: World, clock: Clock, thread: str
) -> None:
    wake_id = world.pending(thread)
    begun = world.started(wake_id)
    world.live("bob", "ses_new")
    world.move(begun, CRASH)
    clock.advance(2)
    advanced = world.advance(wake_id)
    assert advanced.probe is not None
    assert (advanced.probe.rung, advanced.probe.session_id) == (Rung.LIVE, "ses_new")


def test_a_terminal_that_takes_the_session_of_a_run_ends_it(world: World, thread: str) -> None:
    begun = world.started(world.pending(thread))
    world.live("bob", "ses_bob")
    assert (world.run(begun)["state"], world.run(begun)["why"]) == (
        "ending",
        "a terminal holds its session now",
    )
    world.move(begun, Proved("native-1"))
    assert world.run(begun)["proved_at"] is None


def test_a_session_that_still_says_it_lives_is_not_resumed_until_it_is_silent(
    world: World, clock: Clock, thread: str
) -> None:
    caller = make_caller("bob")
    heartbeat_session(
        world.deps, caller, "ses_bob", runtime="command", resumable=True, status=SessionStatus.ACTIVE
    )
    wake_id = world.pending(thread)
    world.advance(wake_id)
    assert world.wake(wake_id)["reason"] == "seat"
    world.owner.run("UPDATE agents SET probe_at = NULL")
    clock.advance(LADDER.heartbeat_s_max - 45)
    world.advance(wake_id)
    assert world.wake(wake_id)["state"] == "pending"
    clock.advance(5)
    heartbeat_session(
        world.deps, caller, "ses_bob", runtime="command", resumable=True, status=SessionStatus.OFFLINE
    )
    assert world.started(wake_id).attempt.rung is Rung.RESUME


def test_slots_hold_and_a_freed_one_lets_who_waited_longest_look(
    world: World, clock: Clock, ladder: Policy, policies: FixedPolicies
) -> None:
    del clock
    policies.policy = replace(ladder, host_slots=2)
    agents = [f"bob-{n}" for n in range(4)]
    for agent in agents:
        world.dormant(agent)
    wakes = [world.pending(world.thread("alice", agent)) for agent in agents]
    begun = [world.started(wake_id) for wake_id in wakes[:2]]
    for wake_id in wakes[2:]:
        world.advance(wake_id)
        assert world.wake(wake_id)["reason"] == "slot"
    world.move(begun[0], Ended(RunResult.EXITED, 0))
    rouse_wake(world.deps, world.workspace, wakes[2])
    assert world.started(wakes[2]).run is not None
    assert world.owner.value("SELECT count(*) FROM slots WHERE run_id IS NOT NULL") == 2


def test_the_last_slot_is_given_once_though_two_looked_before(
    world: World, thread: str, policies: FixedPolicies
) -> None:
    policies.policy = replace(LADDER, host_slots=1)
    world.dormant("carol")
    mine, hers = world.pending(thread), world.pending(world.thread("alice", "carol"))
    assert world.advance(mine).probe is not None
    assert world.advance(hers).probe is not None
    world.touch(mine)
    with pytest.raises(AssertionError):
        world.touch(hers)
    assert world.wake(hers)["reason"] == "slot"


def test_two_threads_of_an_agent_without_a_session_spawn_one_process(
    world: World, clock: Clock, ladder: Policy
) -> None:
    del clock, ladder
    world.startable("bob")
    one, two = world.pending(world.thread("alice", "bob")), world.pending(world.thread("alice", "bob"))
    world.started(one)
    row = world.wake(two)
    assert row["state"] == "waiting", "the prompt told of both"
    three = world.pending(world.thread("alice", "bob"))
    world.advance(three)
    assert (world.wake(three)["state"], world.wake(three)["reason"]) == ("pending", "slot")
    assert world.owner.value("SELECT count(*) FROM runs") == 1


def test_a_run_that_works_on_after_reading_is_waited_for_by_what_comes_next(
    world: World, thread: str
) -> None:
    begun = world.started(world.pending(thread))
    world.move(begun, Proved("native-1", resumable=True))
    move_cursor(world.deps, world.caller("bob"), thread, 1)
    later = world.pending(thread)
    world.advance(later)
    assert world.wake(later)["reason"] == WaitReason.SLOT.value
    world.gateway.take()
    world.move(begun, Ended(RunResult.EXITED, 0))
    assert "wake.recheck_deferred" in world.gateway.names()
    assert world.started(later).attempt.rung is Rung.RESUME


def test_a_stale_session_is_not_resumed_but_spawned(world: World, clock: Clock, thread: str) -> None:
    clock.advance(LADDER.stale_after_s + 1)
    world.seen_host()
    assert world.started(world.pending(thread)).attempt.rung is Rung.SPAWN


def test_a_session_that_crashed_three_times_is_resumed_no_more(
    world: World, clock: Clock, thread: str
) -> None:
    world.owner.run("UPDATE wakes SET dies_at = dies_at")
    for _ in range(3):
        wake_id = world.pending(thread)
        begun = world.started(wake_id)
        assert begun.attempt.rung is Rung.RESUME
        world.move(begun, CRASH)
        cancel_wake(world.deps, world.caller("op", Role.OPERATOR), wake_id, "next")
        clock.advance(10)
    assert world.started(world.pending(thread)).attempt.rung is Rung.SPAWN


def test_what_could_not_be_started_for_now_is_no_crash_of_its_session(
    world: World, clock: Clock, thread: str
) -> None:
    container = cast("Container", SimpleNamespace(deps=world.deps))
    wake_id = world.pending(thread)
    for _ in range(3):
        begun = world.touching(wake_id)
        assert begun.run is not None
        world.settle(begun, Evidence.NOT_TOUCHED, WaitReason.HOST, "no token can be had")
        note_never_started(container, begun.run, "no token can be had", RunResult.LOST, worker="hand-1")
        clock.advance(10)
    assert world.started(wake_id).attempt.rung is Rung.RESUME


def test_a_draining_host_starts_nothing_and_another_takes_over_when_the_policy_says_so(
    world: World, thread: str, policies: FixedPolicies
) -> None:
    world.owner.run("UPDATE hosts SET draining = true WHERE host = 'local'")
    wake_id = world.pending(thread)
    world.advance(wake_id)
    assert world.wake(wake_id)["reason"] == "host"
    world.startable("zoe", host="other")
    policies.policy = replace(LADDER, hosts=("gone", "other"))
    world.gateway.take()
    world.owner.run("UPDATE wakes SET due_at = bridge_now()")
    world.advance(wake_id)
    row = world.wake(wake_id)
    assert (row["host"], row["reason"]) == ("other", "fallback")
    assert [ring.queue for ring in world.gateway.take()] == ["host.other"]
    begun = world.started(wake_id)
    assert begun.attempt.rung is Rung.SPAWN, "its session is on the other host"
    assert begun.run is not None
    assert begun.run.host == "other"


def test_wakes_wait_for_a_host_that_is_not_seen_and_prove_nothing_about_the_agent(
    world: World, clock: Clock, thread: str
) -> None:
    world.owner.run("UPDATE hosts SET seen_at = bridge_now() - interval '1 min'")
    wake_id = world.pending(thread)
    world.advance(wake_id)
    assert world.wake(wake_id)["reason"] == "host"
    clock.advance(LADDER.wake_life_s_max)
    world.advance(wake_id)
    row = world.wake(wake_id)
    assert row["state"] == "failed"
    assert "host" in row["why"]
    assert world.owner.value("SELECT unreachable_since FROM agents WHERE agent_id = 'bob'") is None


def test_asking_an_ended_run_to_end_changes_nothing(world: World, thread: str) -> None:
    begun = world.started(world.pending(thread))
    world.move(begun, CRASH)
    was = world.run(begun)
    world.move(begun, EndAsked("too late"))
    world.move(begun, Ended(RunResult.LOST))
    assert world.run(begun) == was
