"""The Celery processes themselves: a wake goes its way through them, and goes on when some of them do not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bridge.commands.move_cursor import move_cursor
from bridge.config import Settings, child_environment, inherited_environment
from bridge.core.caller import Caller
from bridge.core.states import Role
from bridge.stack.servers import EmbeddedServers
from tests.tasks.world import World, Wrapper, broker, until

ROOT = Path(__file__).parents[2]
_CELERY = (sys.executable, "-m", "celery", "-A", "tasks.celery")
_QUIET = ("-P", "threads", "-E", "--without-gossip", "--without-mingle")


class Processes:
    """Celery's processes, each in a group of its own, ended with the test."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        self.settings, self.logs = settings, logs
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *argv: str) -> None:
        environment = inherited_environment() | child_environment(self.settings) | {"PYTHONPATH": str(ROOT)}
        with (self.logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [*_CELERY, *argv],
                cwd=self.logs,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def host(self) -> None:
        queue = f"host.{self.settings.host_name}"
        self.start("host", "worker", "-n", "host@%h", "-Q", queue, "-c", "8", *_QUIET)

    def worker(self) -> None:
        queues = "timers,supervisor,notify,reports"
        self.start("worker", "worker", "-n", "worker@%h", "-Q", queues, "-c", "4", *_QUIET)

    def beat(self, name: str = "beat") -> None:
        self.start(name, "beat", "-S", "tasks.keeper:KeeperScheduler")

    def kill(self, name: str) -> None:
        os.killpg(self.running[name].pid, signal.SIGKILL)
        self.running.pop(name).wait()

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text(errors="replace")

    def stop(self) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture(name="processes")
def _processes(settings: Settings, tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(settings, tmp_path)
    yield processes
    processes.stop()


@pytest.fixture(name="wrappers")
def _wrappers() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def dial(world: World, wrappers: ExitStack, reader: str = "reader") -> Wrapper:
    """A wrapper that is registered with the host's worker."""
    wrapper = Wrapper(world.settings, world.token(reader, f"ses-{reader}"), f"ses-{reader}")
    until(world.settings.host_socket.exists, "the host's socket")

    def registered() -> bool:
        try:
            wrapper.dial()
        except OSError:
            return False
        if wrapper.greeting.get("op") == "registered":
            return True
        wrapper.close()
        return False

    until(registered, "a registered session")
    wrappers.callback(wrapper.close)
    return wrapper.serve()


def state(world: World, wake_id: str) -> str:
    return str(world.wake(wake_id)["state"])


def read(world: World, thread_id: str, reader: str = "reader", seq: int = 1) -> None:
    """The reader has read."""
    caller = Caller(world.workspace, reader, Role.PARTICIPANT, f"ses-{reader}")
    move_cursor(world.container.deps, caller, thread_id, seq)


def test_a_post_is_typed_within_a_second_and_ends_when_it_is_read(
    world: World, processes: Processes, wrappers: ExitStack
) -> None:
    thread = world.thread("reader")
    processes.host()
    processes.worker()
    processes.beat()
    wrapper = dial(world, wrappers)
    until(lambda: "beat: Starting" in processes.log("beat") or "keeper" in processes.log("beat"), "beat")

    before = time.monotonic()
    wake = world.post(thread).wakes[0].wake_id
    until(lambda: wrapper.typed, "the line typed")
    print(f"post to typed: {(wrapper.at[0] - before) * 1000:.0f} ms")

    assert wrapper.typed[0]["key"] == wake
    assert wrapper.typed[0]["text"].startswith("Wakebridge: 1 new message in 1 thread.")
    until(lambda: state(world, wake) == "waiting" and world.wake(wake)["accepted_at"], "accepted")
    read(world, thread)
    assert state(world, wake) == "acked"
    until(lambda: world.container.hosts.claim_canary(world.host) is None, "the canary claimed")


def test_a_human_defers_and_the_keeper_rings_the_recheck(
    world: World, processes: Processes, wrappers: ExitStack
) -> None:
    thread = world.thread("reader")
    processes.host()
    processes.beat()
    wrapper = dial(world, wrappers)
    wrapper.human_idle_s = 1.0
    wake = world.post(thread).wakes[0].wake_id
    until(lambda: world.wake(wake)["reason"] == "human", "deferred")
    assert not wrapper.typed
    until(lambda: wrapper.told, "the human told of it")
    told = wrapper.told[0]
    assert (told["wakes"], told["why"]) == (1, "a human typed 1 s ago")
    assert 1 <= told["again_in_s"] <= 5
    wrapper.human_idle_s = 60.0
    until(lambda: wrapper.typed, "the line typed after the recheck")
    until(lambda: wrapper.told[-1]["wakes"] == 0, "the human told that nothing waits")


@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL], ids=["frozen", "dead"])
def test_wakes_go_on_without_broker_and_without_beat(
    servers: EmbeddedServers, world: World, processes: Processes, wrappers: ExitStack, fault: signal.Signals
) -> None:
    readers = [f"reader-{number:02}" for number in range(12)]
    thread = world.thread(*readers)
    processes.host()
    sessions = [dial(world, wrappers, reader) for reader in readers]
    servers.signal("broker", fault)

    before = time.monotonic()
    world.post(thread)
    assert time.monotonic() - before < 0.3
    until(lambda: all(session.typed for session in sessions), "every line typed")
    took = sorted(session.at[0] - before for session in sessions)
    print(f"post to typed, broker {fault.name}: p50 {took[6]:.1f} s, max {took[-1]:.1f} s")

    assert [len(session.typed) for session in sessions] == [1] * 12
    if fault is signal.SIGKILL:
        servers.start_one("broker")
        servers.wait_for("broker")
    else:
        servers.signal("broker", signal.SIGCONT)


@pytest.mark.parametrize(
    ("point", "left", "typed", "looks_first"),
    [
        ("after_claim", "delivering", 0, False),
        ("after_probe", "delivering", 0, False),
        ("after_touching", "touching", 0, True),
        ("mid_typing", "touching", 1, True),
        ("before_settle", "touching", 1, True),
    ],
)
def test_a_host_killed_at_any_point_leaves_its_wake_to_the_next(
    world: World,
    processes: Processes,
    wrappers: ExitStack,
    point: str,
    left: str,
    typed: int,
    looks_first: bool,
) -> None:
    thread = world.thread("reader")
    crashing = Processes(world.settings.model_copy(update={"crash_at": point}), processes.logs)
    crashing.host()
    processes.beat()
    first = dial(world, wrappers)
    wake = world.post(thread).wakes[0].wake_id
    assert crashing.running["host"].wait(30) == -signal.SIGKILL
    assert state(world, wake) == left
    until(lambda: len(first.typed) >= typed, "what had left")

    processes.host()
    second = dial(world, wrappers)
    world.due(wake, 0)
    until(lambda: second.typed, "the line offered by the next worker")
    assert second.typed[0]["look_first"] is looks_first
    assert second.typed[0]["key"] == wake
    assert len(first.typed) == typed


def test_wakes_that_an_emptied_broker_forgot_are_rung_again(
    servers: EmbeddedServers, world: World, processes: Processes, wrappers: ExitStack
) -> None:
    thread = world.thread("reader")
    wake = world.post(thread).wakes[0].wake_id
    assert world.container.gateway.drain(5)
    processes.beat("beat-0")
    processes.beat("beat-1")
    with broker(servers) as wire:
        wire.flushall()
    processes.host()
    wrapper = dial(world, wrappers)
    until(lambda: wrapper.typed, "the line typed")
    assert wrapper.typed[0]["key"] == wake


def test_a_worker_refuses_a_broker_that_may_throw_messages_away(
    servers: EmbeddedServers, processes: Processes
) -> None:
    with broker(servers) as wire:
        wire.config_set("maxmemory-policy", "allkeys-lru")
    try:
        for start in (processes.worker, processes.beat):
            start()
        for name in ("worker", "beat"):
            assert processes.running[name].wait(30) != 0
            assert "noeviction" in processes.log(name)
    finally:
        with broker(servers) as wire:
            wire.config_set("maxmemory-policy", "noeviction")


def test_a_worker_of_a_queue_that_nobody_listed_does_not_start(processes: Processes) -> None:
    processes.start("typo", "worker", "-Q", "host.typo", *_QUIET)
    assert processes.running["typo"].wait(30) != 0
    assert "host.typo" in processes.log("typo")
