"""The one clock is read after the lock: what a command writes is never older than the lock it waited for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import text

from bridge.commands.advance_wake import advance_wake
from bridge.commands.attach_session import attach_session
from bridge.commands.cancel_wake import cancel_wake
from bridge.commands.detach_session import detach_session
from bridge.commands.heartbeat_session import heartbeat_session
from bridge.commands.move_cursor import move_cursor
from bridge.commands.post_message import Draft, post_message
from bridge.commands.report_human_input import report_human_input
from bridge.commands.set_thread_status import set_thread_status
from bridge.commands.trigger_wake import trigger_wake
from bridge.core.states import Role, SessionStatus, ThreadStatus
from bridge.db.deps import Deps
from tests.support.threads import PATIENCE_S, waiting_for_a_lock
from tests.support.world import T0, WORKSPACE, Clock, World

THREAD, WAKE = "SELECT 1 FROM threads FOR UPDATE", "SELECT 1 FROM wakes WHERE agent_id = 'bob' FOR UPDATE"
AGENT, SESSION = "SELECT 1 FROM agents WHERE agent_id = 'bob' FOR UPDATE", "SELECT 1 FROM sessions FOR UPDATE"
THREAD_AT, WAKE_AT = "SELECT updated_at FROM threads", "SELECT updated_at FROM wakes WHERE agent_id = 'bob'"
AGENT_AT = "SELECT updated_at FROM agents WHERE agent_id = 'bob'"
SESSION_AT = "SELECT updated_at FROM sessions"
SEEN_AT = "SELECT max(created_at) FROM messages"

Act = Callable[[World, Deps, str, str], object]


def fast(world: World, deps: Deps, thread: str, wake: str) -> object:
    del wake
    return post_message(deps, world.caller("alice"), thread, Draft("m"))


def slow(world: World, deps: Deps, thread: str, wake: str) -> object:
    del wake
    return post_message(deps, world.caller("alice"), thread, Draft("m", last_read_seq=1))


def status(world: World, deps: Deps, thread: str, wake: str) -> object:
    del wake
    operator = world.caller("olivia", Role.OPERATOR)
    return set_thread_status(deps, operator, thread, status=ThreadStatus.RESOLVED, reason="r")


def trigger(world: World, deps: Deps, thread: str, wake: str) -> object:
    del wake
    operator = world.caller("olivia", Role.OPERATOR)
    return trigger_wake(deps, operator, thread, target_agent_id="bob", reason="r", trigger_prompt="p")


def advance(world: World, deps: Deps, thread: str, wake: str) -> object:
    del world, thread
    return advance_wake(deps, WORKSPACE, wake, "hand")


def cancel(world: World, deps: Deps, thread: str, wake: str) -> object:
    del thread
    return cancel_wake(deps, world.caller("alice"), wake, "r")


def read(world: World, deps: Deps, thread: str, wake: str) -> object:
    del wake
    return move_cursor(deps, world.caller("bob"), thread, 1)


def attach(world: World, deps: Deps, thread: str, wake: str) -> object:
    del world, thread, wake
    return attach_session(deps, WORKSPACE, "bob", "ses_bob", host="local", pid=7, runtime="pty")


def detach(world: World, deps: Deps, thread: str, wake: str) -> object:
    del world, thread, wake
    return detach_session(deps, WORKSPACE, "ses_bob", 1)


def beat(world: World, deps: Deps, thread: str, wake: str) -> object:
    del thread, wake
    bob = world.caller("bob")
    return heartbeat_session(
        deps, bob, "ses_bob", runtime="pty", resumable=False, status=SessionStatus.ACTIVE
    )


def typed(world: World, deps: Deps, thread: str, wake: str) -> object:
    del thread, wake
    report_human_input(deps, world.caller("bob"), "ses_bob")
    return None


CASES: list[tuple[Act, str, list[str]]] = [
    (fast, THREAD, [THREAD_AT, SEEN_AT]),
    (slow, THREAD, [THREAD_AT, SEEN_AT]),
    (status, THREAD, [THREAD_AT, SEEN_AT, "SELECT max(at) FROM audit_events WHERE resource_type = 'thread'"]),
    (trigger, THREAD, [THREAD_AT, SEEN_AT]),
    (advance, WAKE, [WAKE_AT, "SELECT max(at) FROM wake_events"]),
    (cancel, WAKE, [WAKE_AT, "SELECT max(at) FROM audit_events WHERE resource_type = 'wake'"]),
    (read, WAKE, [WAKE_AT]),
    (attach, SESSION, [SESSION_AT, "SELECT heartbeat_at FROM sessions"]),
    (attach, AGENT, [AGENT_AT, SESSION_AT, "SELECT max(at) FROM audit_events WHERE resource_type = 'agent'"]),
    (detach, SESSION, [SESSION_AT]),
    (beat, SESSION, [SESSION_AT, "SELECT heartbeat_at FROM sessions"]),
    (typed, SESSION, [SESSION_AT, "SELECT human_at FROM sessions"]),
]


@pytest.mark.parametrize(
    ("act", "held", "looks"), CASES, ids=[f"{act.__name__} {sql.split()[3]}" for act, sql, _ in CASES]
)
def test_what_waited_for_a_lock_is_not_dated_before_its_release(
    world: World, process: Callable[[], Deps], act: Act, held: str, looks: list[str]
) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob")
    wake_id = world.pending(thread)
    deps = process()
    with ThreadPoolExecutor(1) as pool:
        with world.owner.holding(held) as other:
            done = pool.submit(partial(act, world, deps, thread, wake_id))
            waiting_for_a_lock(world.owner)
            released: datetime = other.execute(text("SELECT clock_timestamp()")).scalar_one()
        done.result(PATIENCE_S)
    for look in looks:
        assert world.owner.value(look) >= released, look


def test_time_never_goes_backwards_in_a_row_though_the_clock_does(world: World, clock: Clock) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob")
    wake_id = world.pending(thread)
    clock.set(T0 - timedelta(minutes=5))
    world.post(thread)
    assert world.owner.value(THREAD_AT) == T0
    assert world.owner.value(SEEN_AT) == T0
    world.advance(wake_id)
    assert world.owner.value(WAKE_AT) == T0
    attach_session(world.deps, WORKSPACE, "bob", "ses_bob", host="local", pid=7, runtime="pty")
    assert world.owner.value(SESSION_AT) == T0
    assert world.owner.value(AGENT_AT) == T0
