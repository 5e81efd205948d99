"""kill -9 of the worker and of the shim, at any moment: nothing of a run lives afterwards, and it is told."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.adapters.runtimes.descent import boot_clock, process
from bridge.config import inherited_environment
from bridge.core.errors import Unavailable
from bridge.core.states import Rung
from bridge.ports.runs import FENCE_S
from tests.runs.world import GONE_S, PROGRAMS, World, living, token, until

ROOT = Path(__file__).resolve().parents[2]
SEED = 20260701


class Holder:
    """A worker in a process of its own."""

    def __init__(self, world: World, runs: int, first: int = 0, fence_s: float = FENCE_S) -> None:
        fields = {
            "workspace_id": "ws",
            "agent_id": "executor",
            "preset": "scripted",
            "prompt": "x" * 5000,
            "token": token(900),
            "kill_after_s": 60.0,
            "kill_grace_s": 0.3,
        }
        numbers = [str(number) for number in (runs, first, fence_s)]
        argv = [str(PROGRAMS / "holder.py"), str(world.settings.data_dir), *numbers, json.dumps(fields)]
        kept = {key: value for key, value in inherited_environment().items() if not key.startswith("BRIDGE_")}
        environment = kept | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen([sys.executable, *argv], stdout=subprocess.PIPE, env=environment)
        self.told: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told.append(json.loads(line))

    def count(self, event: str) -> int:
        return sum(line["event"] == event for line in self.told)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def holder(world: World, runs: int, first: int = 0, fence_s: float = FENCE_S) -> Iterator[Holder]:
    made = Holder(world, runs, first, fence_s)
    try:
        yield made
    finally:
        made.kill()


def pass_time(chance: random.Random) -> None:
    """A moment anywhere between the start of a shim and a grown family: nothing is waited for."""
    threading.Event().wait(chance.uniform(0, 0.2))


def nothing_lives(world: World) -> None:
    mark = world.settings.data_dir.name
    until(lambda: not living(mark), f"nothing of {mark} lives", GONE_S)


@pytest.mark.parametrize("part", ["escapes", "grows"])
def test_nothing_outlives_its_worker_whenever_it_is_killed(world: World, part: str) -> None:
    world.preset(part, "{run_id}")
    chance = random.Random(SEED)
    for number in range(15):
        with holder(world, 2, number * 2) as made:
            until(lambda made=made: made.count("ready"), "the holder is there")  # type: ignore[misc]
            pass_time(chance)
        nothing_lives(world)


def test_nothing_outlives_its_shim_whenever_it_is_killed(world: World) -> None:
    chance = random.Random(SEED)
    for number in range(30):
        spec = world.start("grows" if number % 2 else "escapes")
        shim = world.book._held[spec.run_id].shim
        assert shim is not None
        pass_time(chance)
        os.kill(shim.pid, signal.SIGKILL)
        facts = world.told(spec, "ended", GONE_S)
        assert facts == {"status": None, "result": "lost", "why": "its shim was killed"}
        assert marked_by(world, spec.run_id) == {}
        for pid in living(spec.run_id):  # bare of marks, and not seen yet when the shim was killed
            os.kill(pid, signal.SIGKILL)


def marked_by(world: World, run_id: str) -> dict[int, str]:
    """Processes of a run that carry its marks."""
    return living(f"{world.settings.run_dir}/runs/{run_id}/")


def test_who_hid_its_marks_was_seen_below_its_shim(world: World) -> None:
    spec = world.start("escapes")
    shim = world.told(spec, "started")["shim_pid"]
    held = world.book._held[spec.run_id]
    until(lambda: len(living(spec.run_id)) == 4, "shim, agent and two daemons")
    until(lambda: len(held.seen) == 3, "they were seen")
    os.kill(shim, signal.SIGKILL)
    assert world.ended(spec) == (None, "lost", "its shim was killed")


def test_worker_and_shims_killed_at_once_are_swept_by_the_next_worker(world: World) -> None:
    world.preset("grows", "{run_id}")
    with holder(world, 3) as first:
        until(lambda: first.count("proved") == 3, "three runs")
        shims = [line["shim_pid"] for line in first.told if line["event"] == "started"]
        first.process.send_signal(signal.SIGSTOP)
        for shim in shims:
            os.kill(shim, signal.SIGKILL)
    assert living(world.settings.data_dir.name) != {}
    assert world.book.sweep(set()) == {
        f"run_{world.settings.data_dir.name}_{number:03}" for number in range(3)
    }
    assert living(world.settings.data_dir.name) == {}
    assert world.book.sweep(set()) == set()


def test_a_sweep_leaves_alone_what_is_held_or_kept_or_another_hosts(world: World) -> None:
    world.preset("ignores", "{run_id}")
    with holder(world, 1, first=500) as other:  # the worker before this one, which is not dead
        until(lambda: other.count("proved"), "another worker's run")
        mine = world.start("ignores")
        world.told(mine, "proved")
        theirs = next(line["run_id"] for line in other.told if line["event"] == "proved")
        assert world.book.sweep({theirs}) == set()
        assert living(theirs) != {}
        assert world.book.sweep(set()) == {theirs}
        assert living(theirs) == {}
    assert living(mine.run_id) != {}
    world.book.end(mine.run_id, "enough", 0.0)
    world.ended(mine)


def test_a_worker_that_is_frozen_loses_its_runs_before_its_term(world: World) -> None:
    world.preset("ignores", "{run_id}")
    with holder(world, 1, fence_s=2.0) as frozen:
        until(lambda: frozen.count("proved"), "its run")
        frozen.process.send_signal(signal.SIGSTOP)
        run = f"run_{world.settings.data_dir.name}_000"
        until(lambda: not living(f"runs/{run}/"), "it ended", 2.0 + 3.0)
        frozen.process.send_signal(signal.SIGCONT)
        until(lambda: frozen.count("ended"), "and was told of it")
        told = next(line for line in frozen.told if line["event"] == "ended")
        assert (told["result"], told["why"]) == ("killed", "its host's term was not renewed in time")


def test_renewing_keeps_a_run_and_not_renewing_ends_it(world: World) -> None:
    world.options = {"fence_s": 1.0}
    spec = world.start("ignores")
    started = world.told(spec, "started")
    for _ in range(12):
        world.book.renew()
        threading.Event().wait(0.15)
    assert process(started["pid"]) is not None
    status, result, why = world.ended(spec)
    assert (status, result, why) == (-9, "killed", "its host's term was not renewed in time")


def test_a_stopped_shim_does_not_keep_its_run_beyond_the_term(world: World) -> None:
    world.options = {"fence_s": 1.0}
    spec = world.start("ignores")
    os.kill(world.told(spec, "started")["shim_pid"], signal.SIGSTOP)
    facts = world.told(spec, "ended", GONE_S)
    assert (facts["result"], facts["why"]) == ("killed", "its host's term was not renewed in time")
    assert living(spec.run_id) == {}


def test_what_was_decided_before_a_term_was_over_is_not_started_in_the_next(world: World) -> None:
    world.preset("ignores", "{run_id}")
    decided = world.book.start_by() - FENCE_S
    world.book.renew()  # a worker that stood still goes on, and has its term again
    with pytest.raises(Unavailable, match="term is over"):
        world.book.start(world.spec(start_by=decided))
    assert world.book.held() == set()


def test_a_shim_that_comes_after_the_term_starts_nothing(world: World) -> None:
    world.preset("ignores", "{run_id}")
    assert world.book.held() == set()
    for left_s in (0.005, 0.02, 0.05, 0.2):
        spec = world.spec(start_by=boot_clock() + left_s)
        with contextlib.suppress(Unavailable):  # a slow machine: it was too late for the book already
            world.book.start(spec)
            break
    status, result, why = world.ended(spec)
    assert (status, result, why) == (None, "killed", "its host's term was over before it began")
    assert world.recorder.of(spec.run_id) == ["ended"]


def test_no_run_starts_after_the_term(world: World) -> None:
    world.options = {"fence_s": 0.0}
    world.preset("ignores")
    with pytest.raises(Unavailable, match="term is over"):
        world.book.start(world.spec(rung=Rung.RESUME))
    assert world.book.held() == set()
