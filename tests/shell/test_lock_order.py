"""The lock order: thread < participant < finding < wakes < agent < session < attempt < notice.

The statements of each transaction are recorded, with the tables whose rows they lock or wait for. It may skip,
never go back. Audit events come last in the design; they are plain inserts under their row's lock and wait for nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from bridge.commands.ack_wake import ack_wake
from bridge.commands.add_participant import add_participant
from bridge.commands.cancel_wake import cancel_wake
from bridge.commands.detach_session import detach_session
from bridge.commands.heartbeat_session import heartbeat_session
from bridge.commands.move_cursor import move_cursor
from bridge.commands.remove_participant import remove_participant
from bridge.commands.retry_wake import retry_wake
from bridge.commands.rouse_agent import rouse_agent
from bridge.commands.set_thread_status import set_thread_status
from bridge.commands.trigger_wake import trigger_wake
from bridge.core.states import Evidence, MessageKind, Role, SessionStatus, ThreadStatus
from bridge.db.uow import Database
from tests.support.world import TEST_POLICY, WORKSPACE, Clock, World

ORDER = ["threads", "participants", "findings", "wakes", "agents", "sessions", "attempts", "notices"]
LOCKS = re.compile(
    r"FROM (?P<looked>\w+)\b.*\bFOR (?:NO KEY )?UPDATE|UPDATE (?P<changed>\w+)\b|DELETE FROM (?P<gone>\w+)"
    r"|INSERT INTO (?P<born>\w+)",
    re.DOTALL,
)


def locked(statement: str) -> list[str]:
    """The tables of the order whose rows the statement locks."""
    if "bridge_store(" in statement:
        return ["wakes"]  # its thread is locked before, by the caller
    return [
        name
        for match in LOCKS.finditer(re.sub(r"DO UPDATE SET|KEY UPDATE SKIP", "", statement))
        for name in match.groups()
        if name in ORDER
    ]


def steps_back(transaction: list[str]) -> list[str]:
    """Where the transaction locks a table that comes before one it has locked.

    Changing or removing a row that is locked already waits for nobody, nor does a new wake in the place of one that is
    locked.
    """
    back: list[str] = []
    furthest, seen = -1, set[str]()
    for statement in transaction:
        for name in locked(statement):
            place = ORDER.index(name)
            held = name in seen and re.match(r"\s*(UPDATE|DELETE|INSERT INTO wakes)\b", statement)
            if place < furthest and not held:
                back.append(f"{name} after {ORDER[furthest]}: {' '.join(statement.split())[:120]}")
            furthest = max(furthest, place)
            seen.add(name)
    return back


class Recorder:
    """The statements of each transaction of a database."""

    def __init__(self) -> None:
        self.transactions: list[list[str]] = []

    def begin(self, *_: object) -> None:
        self.transactions.append([])

    def note(self, *said: Any) -> None:  # noqa: ANN401  SQLAlchemy's event
        self.transactions[-1].append(said[2])


@contextmanager
def recorded(db: Database) -> Iterator[Recorder]:
    """Everything that this database is told meanwhile."""
    recorder = Recorder()
    event.listen(db.engine, "begin", recorder.begin)
    event.listen(db.engine, "before_cursor_execute", recorder.note)
    yield recorder
    event.remove(db.engine, "begin", recorder.begin)
    event.remove(db.engine, "before_cursor_execute", recorder.note)


@pytest.mark.parametrize(
    ("transaction", "found"),
    [
        (
            [
                "SELECT 1 FROM threads WHERE x FOR NO KEY UPDATE",
                "UPDATE wakes SET a = 1",
                "UPDATE agents SET a = 1",
            ],
            0,
        ),
        (["UPDATE wakes SET a = 1", "SELECT 1 FROM threads FOR NO KEY UPDATE"], 1),
        (["INSERT INTO notices VALUES (1)", "UPDATE attempts SET a = 1"], 1),
        (["UPDATE wakes SET a = 1", "UPDATE agents SET a = 1", "INSERT INTO wakes VALUES (1)"], 0),
        (["UPDATE agents SET a = 1", "INSERT INTO wakes VALUES (1)"], 1),
        (["UPDATE agents SET a = 1", "SELECT * FROM wakes"], 0),
    ],
)
def test_the_recorder_finds_a_step_back(transaction: list[str], found: int) -> None:
    assert len(steps_back(transaction)) == found


def play(world: World, clock: Clock) -> None:
    """Every command, on the way where it locks the most."""
    deps, operator, bob = world.deps, world.caller("olivia", Role.OPERATOR), world.caller("bob")
    term = world.live("bob")
    threads = [world.thread("alice", "bob", "olivia") for _ in range(3)]
    world.agent("olivia", human=True)
    asked = [world.post(thread, delay_s=0.0) for thread in threads]
    bobs = [next(wake.wake_id for wake in post.wakes if wake.agent_id == "bob") for post in asked]
    world.settle(world.touching(bobs[0]))
    world.post(threads[0])
    heartbeat_session(deps, bob, "ses_bob", runtime="pty", resumable=False, status=SessionStatus.IDLE)
    rouse_agent(deps, WORKSPACE, "bob")
    # The answer moves the cursor, ends the wake in its attempt, opens the next one and reports a finding.
    event_ = {"type": "finding_reported", "finding_id": "f", "file": "a", "line": 1, "text": "t"}
    world.post(threads[0], "bob", in_reply_to=asked[0].message_id, kind=MessageKind.EVENT, event=event_)
    for _ in range(2):  # the same finding a third time blocks: cancels, tells
        world.post(threads[0], "bob", last_read_seq=2, kind=MessageKind.EVENT, event=event_)
    ack_wake(deps, bob, bobs[1])
    move_cursor(deps, bob, threads[2], 1)
    trigger_wake(
        deps, operator, threads[1], target_agent_id="bob", reason="r", trigger_prompt="p", force=True
    )
    trigger_wake(deps, operator, threads[1], target_agent_id="bob", reason="r", force=True)
    last = world.post(threads[1], to=("bob",)).wakes[0].wake_id
    world.settle(world.touching(last), Evidence.UNVERIFIED)
    world.post(threads[1])
    detach_session(deps, WORKSPACE, "ses_bob", term + 5)
    clock.advance(TEST_POLICY.live.accept_timeout_s)
    for _ in range(6):  # tries, then failure with a new wake behind the breaker
        world.advance(last)
        clock.advance(10)
        if world.wake(last)["state"] == "pending" and world.advance(last).probe is not None:
            world.settle(world.touch(last))
            world.post(threads[1])
            clock.advance(30)
    assert world.wake(last)["state"] == "failed"
    retry_wake(deps, operator, last)
    open_wake = world.open_wake(threads[1], "bob")
    assert open_wake is not None
    cancel_wake(deps, operator, open_wake["wake_id"], "r")
    add_participant(deps, operator, threads[2], "carol", None)
    world.post(threads[2])
    remove_participant(deps, operator, threads[2], "carol")
    for wanted in (ThreadStatus.BLOCKED, ThreadStatus.ACTIVE, ThreadStatus.CLOSED):
        set_thread_status(deps, operator, threads[2], status=wanted, reason="r")
    detach_session(deps, WORKSPACE, "ses_bob", term)


def test_no_command_steps_back_in_the_lock_order(world: World, clock: Clock) -> None:
    with recorded(world.deps.db) as recorder:
        play(world, clock)
    assert len(recorder.transactions) > 50
    touched = {name for one in recorder.transactions for statement in one for name in locked(statement)}
    assert touched == set(ORDER)
    back = sorted({step for one in recorder.transactions for step in steps_back(one)})
    assert not back, "\n".join(back)


def test_wakes_are_locked_in_one_order_in_every_transaction(world: World, clock: Clock) -> None:
    with recorded(world.deps.db) as recorder:
        play(world, clock)
    many = [
        statement
        for one in recorder.transactions
        for statement in one
        if re.search(r"FROM wakes\b.*FOR NO KEY UPDATE", statement, re.DOTALL)
        and "wakes.wake_id = " not in statement
    ]
    assert many
    for statement in many:
        assert re.search(r"ORDER BY wakes\.(agent_id|thread_id)\b", statement), statement
