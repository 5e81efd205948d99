"""All commands at once, on few threads and agents so that they collide: no deadlock, and everything still true."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from bridge.commands.ack_wake import ack_wake
from bridge.commands.add_participant import add_participant
from bridge.commands.advance_wake import advance_wake
from bridge.commands.attach_session import attach_session
from bridge.commands.cancel_wake import cancel_wake
from bridge.commands.detach_session import detach_session
from bridge.commands.end_run import end_run
from bridge.commands.find_stalls import find_stalls
from bridge.commands.force_wake import force_wake
from bridge.commands.heartbeat_session import heartbeat_session
from bridge.commands.move_cursor import move_cursor
from bridge.commands.move_run import move_run
from bridge.commands.note_listening import note_listening
from bridge.commands.pause_scope import pause_scope
from bridge.commands.post_message import Draft, post_message
from bridge.commands.postpone_wake import postpone_wake
from bridge.commands.put_agent import put_agent
from bridge.commands.remove_participant import remove_participant
from bridge.commands.report_human_input import report_human_input
from bridge.commands.resume_scope import resume_scope
from bridge.commands.retry_wake import retry_wake
from bridge.commands.rouse_agent import rouse_agent
from bridge.commands.rouse_wake import rouse_wake
from bridge.commands.set_thread_status import set_thread_status
from bridge.commands.settle_wake import settle_wake
from bridge.commands.touch_wake import Begun, touch_wake
from bridge.commands.trigger_wake import trigger_wake
from bridge.core.errors import CallerError, FenceRejected
from bridge.core.policy import RungLimits
from bridge.core.run import Ended, Proved, Started
from bridge.core.run import Event as RunEvent
from bridge.core.states import Evidence, MessageKind, Role, RunResult, SessionStatus, ThreadStatus, WaitReason
from bridge.db.deps import Deps
from tests.support.audit import broken_history
from tests.support.invariants import broken
from tests.support.postgres import Owner
from tests.support.threads import answers, at_once
from tests.support.world import TEST_POLICY, WORKSPACE, FixedPolicies, World

HANDS = 16
STORM_S = 20.0
STORM_S_MAX = 90.0
"""It goes on past its time until the rarest thing that it is for has happened, on a machine however slow."""
AGENTS = ["alice", "bob", "carol"]
POLICY = dataclasses.replace(
    TEST_POLICY,
    live=RungLimits(tries=2, accept_timeout_s=1.0, read_timeout_s=1.0),
    backoff_s_initial=1.0,
    recheck_s=1.0,
    defer_recheck_s=1.0,
    lease_s=1.0,
    seat_wait_s=1.0,
    breaker_s_initial=1.0,
    breaker_s_max=2.0,
    wake_life_s_max=20.0,
    read_extension_s_max=2.0,
    turns_max=3,
    wakes_per_minute_max=10_000,
    stall_after_s=1.0,
    resume=RungLimits(tries=2, accept_timeout_s=1.0, read_timeout_s=1.0),
    spawn=RungLimits(tries=1, accept_timeout_s=1.0, read_timeout_s=1.0),
    host_slots=2,
    heartbeat_s_max=1.0,
    crash_loop_limit=100,
)
"""Everything happens within a second or two."""
DRAFTS: list[dict[str, Any]] = [
    {"type": "finding_reported", "finding_id": "f1", "file": "a.py", "line": 1, "text": "x"},
    {"type": "fix_pushed", "commit": "c", "finding_ids": ["f1"]},
    {"type": "finding_verified", "finding_id": "f1"},
    {"type": "decision", "text": "t"},
]


class Hand:
    """One hand of the storm, with a random source of its own."""

    def __init__(self, deps: Deps, world: World, threads: list[str], seed: int) -> None:
        self.deps, self.world, self.threads = deps, world, threads
        self.random = random.Random(seed)
        self.operator = world.caller("olivia", Role.OPERATOR)
        self.said: Counter[str] = Counter()

    # --- who and what -------------------------------------------------------------------------------

    def agent(self) -> str:
        return self.random.choice(AGENTS)

    def thread(self) -> str:
        return self.random.choice(self.threads)

    def wake(self) -> str:
        """Some wake, mostly an open one."""
        rows = self.world.owner.rows(
            "SELECT wake_id FROM wakes ORDER BY state IN ('pending', 'delivering', 'touching', 'waiting') DESC, "
            "created_at DESC LIMIT 12"
        )
        return str(self.random.choice(rows)["wake_id"]) if rows else "wake_none"

    def messages(self, thread: str) -> tuple[int, str | None]:
        rows = self.world.owner.rows(
            "SELECT seq, message_id FROM messages WHERE thread_id = :t ORDER BY seq DESC LIMIT 5", t=thread
        )
        return (rows[0]["seq"], str(self.random.choice(rows)["message_id"])) if rows else (0, None)

    # --- what it does -------------------------------------------------------------------------------

    def post(self) -> None:
        thread, sender = self.thread(), self.agent()
        seq, some = self.messages(thread)
        draft = self.random.choice(
            [
                Draft("fast"),
                Draft("fast", to=(self.agent(),)),
                Draft("fast", urgent=True),
                Draft("slow", in_reply_to=some),
                Draft("slow", last_read_seq=seq, to=(self.agent(),)),
                Draft("event", kind=MessageKind.EVENT, event=self.random.choice(DRAFTS)),
            ]
        )
        key = self.random.choice([None, f"k{self.random.randrange(50)}"])
        post_message(self.deps, self.world.caller(sender), thread, draft, key)

    def read(self) -> None:
        thread = self.thread()
        move_cursor(self.deps, self.world.caller(self.agent()), thread, self.messages(thread)[0])

    def ack(self) -> None:
        wake_id = self.wake()
        rows = self.world.owner.rows("SELECT agent_id FROM wakes WHERE wake_id = :w", w=wake_id)
        if rows:
            ack_wake(self.deps, self.world.caller(rows[0]["agent_id"]), wake_id)

    def deliver(self) -> None:
        """A ring, and the whole hand: look, touch, report; or vanish on the way."""
        wake_id = self.wake()
        advanced = advance_wake(self.deps, WORKSPACE, wake_id, "hand")
        if advanced.probe is None or self.random.random() < 0.1:
            return
        fence = advanced.probe.fence
        if self.random.random() < 0.2:
            reason = self.random.choice([WaitReason.HUMAN, WaitReason.BUSY])
            postpone_wake(self.deps, WORKSPACE, wake_id, fence=fence, reason=reason, why="typing")
            return
        begun = touch_wake(self.deps, WORKSPACE, wake_id, fence=fence)
        if isinstance(begun, Begun) and self.random.random() < 0.9:
            settle_wake(
                self.deps,
                WORKSPACE,
                wake_id,
                fence=fence,
                attempt_id=begun.attempt.attempt_id,
                evidence=self.random.choice(list(Evidence)),
                why="as it is",
            )

    def run(self) -> None:
        """Something becomes of a process that was started: it shows itself, is asked to end, or is gone."""
        rows = self.world.owner.rows(
            "SELECT run_id FROM runs ORDER BY state <> 'ended' DESC, begun_at DESC LIMIT 4"
        )
        if not rows:
            return
        run_id = str(self.random.choice(rows)["run_id"])
        events: list[RunEvent] = [
            Started("boot", 1, 2, 3),
            Proved("native", resumable=True),
            Ended(self.random.choice(list(RunResult)), self.random.randrange(2), "as it is"),
        ]
        if self.random.random() < 0.2:
            end_run(self.deps, self.operator, run_id, "r")
        else:
            move_run(self.deps, WORKSPACE, run_id, self.random.choice(events), worker="hand")
        rouse_wake(self.deps, WORKSPACE, self.wake())

    def ring(self) -> None:
        advance_wake(self.deps, WORKSPACE, self.wake(), "hand")

    def ask(self) -> None:
        wake_id = self.wake()
        asks: list[Callable[[], object]] = [
            partial(cancel_wake, self.deps, self.operator, wake_id, "r"),
            partial(force_wake, self.deps, self.operator, wake_id, "r"),
            partial(retry_wake, self.deps, self.operator, wake_id),
        ]
        self.random.choice(asks)()

    def trigger(self) -> None:
        trigger_wake(
            self.deps,
            self.operator,
            self.thread(),
            target_agent_id=self.agent(),
            reason="r",
            trigger_prompt=self.random.choice([None, "prompt"]),
            force=self.random.random() < 0.5,
        )

    def status(self) -> None:
        wanted = self.random.choice(
            [ThreadStatus.ACTIVE, ThreadStatus.ACTIVE, ThreadStatus.RESOLVED, ThreadStatus.BLOCKED]
        )
        set_thread_status(self.deps, self.operator, self.thread(), status=wanted, reason="r")

    def session(self) -> None:
        name = self.agent()
        term = attach_session(
            self.deps,
            WORKSPACE,
            name,
            f"ses_{name}",
            host="local",
            pid=self.random.randrange(9_999),
            runtime="pty",
        )
        if self.random.random() < 0.7:
            detach_session(self.deps, WORKSPACE, f"ses_{name}", term)

    def beat(self) -> None:
        name = self.agent()
        caller = self.world.caller(name)
        status = self.random.choice(list(SessionStatus))
        heartbeat_session(self.deps, caller, f"ses_{name}", runtime="pty", resumable=True, status=status)
        if self.random.random() < 0.3:
            report_human_input(self.deps, caller, f"ses_{name}")
        note_listening(self.deps, caller, for_s=1.0)

    def rouse(self) -> None:
        rouse_agent(self.deps, WORKSPACE, self.agent(), alive=self.random.random() < 0.5)

    def people(self) -> None:
        """Only mallory comes and goes: so what is for the others can be judged at the end."""
        thread = self.thread()
        if self.random.random() < 0.5:
            add_participant(self.deps, self.operator, thread, "mallory", self.random.choice([None, "guest"]))
        else:
            remove_participant(self.deps, self.operator, thread, "mallory")

    def fleet(self) -> None:
        scope = f"agent:{self.agent()}"
        pause_scope(self.deps, self.operator, scope, "r")
        resume_scope(self.deps, self.operator, scope, "r")
        put_agent(self.deps, self.operator, "mallory", preset=self.random.choice(["line", "codex"]))
        find_stalls(self.deps, WORKSPACE)

    def acts(self) -> Iterator[Callable[[], None]]:
        """What it does next, for ever."""
        often = [self.post, self.read, self.deliver, self.deliver, self.deliver, self.ring, self.run]
        seldom = [
            self.ack,
            self.ask,
            self.trigger,
            self.status,
            self.session,
            self.beat,
            self.rouse,
            self.people,
            self.fleet,
        ]
        while True:
            yield self.random.choice(often * 2 + seldom)

    def storm(self, over: threading.Event) -> Counter[str]:
        """Until it is over. What it may be told is counted; anything else is raised."""
        for act in self.acts():
            if over.is_set():
                break
            try:
                act()
                self.said["done"] += 1
            except (CallerError, FenceRejected) as refused:
                if "sqlstate" in refused.facts:  # a deadlock, or a lock that was not given
                    raise
                self.said[refused.code] += 1
        return self.said


def calm_down(world: World, threads: list[str]) -> None:
    """Every thread is unblocked, so that what is owed must be there."""
    operator = world.caller("olivia", Role.OPERATOR)
    for thread in threads:
        if world.owner.value("SELECT status FROM threads WHERE thread_id = :t", t=thread) == "blocked":
            set_thread_status(world.deps, operator, thread, status=ThreadStatus.ACTIVE, reason="calm")


def deadlocks(owner: Owner) -> int:
    found = owner.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return int(found)


def runs_that_proved_themselves(owner: Owner) -> int:
    found = owner.value("SELECT count(*) FROM runs WHERE state = 'ended' AND proved_at IS NOT NULL")
    return int(found)


def end_when_all_happened(owner: Owner, over: threading.Event) -> None:
    """End the storm after its time, and later than that only while no run has come as far as its proof."""
    over.wait(STORM_S)
    deadline = time.monotonic() + STORM_S_MAX - STORM_S
    while not over.wait(0.2):
        if runs_that_proved_themselves(owner) or time.monotonic() > deadline:
            over.set()


def test_all_commands_at_once_never_deadlock_and_leave_everything_true(
    world: World, process: Callable[[], Deps], policies: FixedPolicies
) -> None:
    policies.policy = POLICY
    for name in AGENTS:
        world.live(name)
        world.startable(name, slots=2)
    world.agent("olivia", human=True)
    threads = [world.thread(*AGENTS, "olivia", "mallory") for _ in range(3)]
    machines = [process(), process()]
    hands = [Hand(machines[seed % 2], world, threads, seed) for seed in range(HANDS)]
    over = threading.Event()
    watch = threading.Thread(target=end_when_all_happened, args=(world.owner, over))
    watch.start()
    try:
        told = answers(at_once([partial(hand.storm, over) for hand in hands]))
    finally:
        over.set()
        watch.join()
        for machine in machines:
            machine.db.close()  # a connection that ends has reported the deadlocks it saw
    total = sum(told, Counter[str]())
    print(dict(total), world.owner.rows("SELECT state, count(*) FROM wakes GROUP BY 1"))
    assert deadlocks(world.owner) == 0
    assert total["done"] > HANDS
    assert runs_that_proved_themselves(world.owner) > 0
    calm_down(world, threads)
    assert broken(world.owner) == {}
    assert broken_history(world.owner) == []
