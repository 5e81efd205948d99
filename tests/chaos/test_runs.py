"""CI's part of the runs' chaos, and proof that its watcher sees what it is there to see."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

import pytest

from tests.chaos.runs import FAULTS, MOMENTS, chaos_runs, deck
from tests.chaos.runs_world import PROGRAM, WATCHER
from tests.chaos.stack import wait_until
from tests.chaos.watcher import AGENT, HELPER, Life, living, overlaps


def test_nothing_of_a_run_lives_on_when_its_worker_its_shim_or_both_are_killed() -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"chaos seed {seed}")
    account = chaos_runs(3, seed=seed, say=print, agents=3)
    assert account.broken == []
    assert account.kills_of == {"worker": 1, "shim": 1, "both": 1}
    assert account.overlaps == 0
    assert account.read == account.posted > 0
    assert sum(account.runs.values()) >= account.agents_logged > 0


def test_fifty_kills_are_every_fault_at_every_moment_twice() -> None:
    cards = list(islice(deck(random.Random(1)), 50))
    assert all(cards.count((fault, moment)) == 2 for fault in FAULTS for moment in MOMENTS)


def life(session: str, began_s: float, last_s: float) -> Life:
    ticks = round(began_s * os.sysconf("SC_CLK_TCK"))
    return Life(ticks, ticks, session, "run", began_s, last_s)


def test_a_life_that_began_while_another_of_its_session_was_seen_alive_overlaps_it() -> None:
    one, two, other = life("s", 10.0, 12.0), life("s", 11.5, 13.0), life("t", 11.0, 12.0)
    assert overlaps([two, one, other]) == [(one, two)]


def test_lives_that_follow_one_another_do_not_overlap() -> None:
    assert overlaps([life("s", 10.0, 12.0), life("s", 12.0, 13.0)]) == []


@contextmanager
def agent(folder: Path, run: str, session: str) -> Iterator[None]:
    """The scripted agent as a shim would start it, beside a bridge that is not there."""
    marks = {
        "BRIDGE_RUN_ID": run,
        "BRIDGE_TOKEN_FILE": f"{folder}/runs/{run}/token",
        "BRIDGE_URL": "http://127.0.0.1:9",
    }
    argv = [sys.executable, "-I", "-S", str(PROGRAM), "agent", str(folder), session, run, "native"]
    with subprocess.Popen(
        argv, env=marks, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            yield
        finally:
            process.kill()


def nothing_left(folder: Path) -> bool:
    """Kill what lives; whether there was nothing."""
    left = living(str(folder), f"{folder}/runs")
    for one in left:
        os.kill(one.pid, signal.SIGKILL)
    return not left


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    wait_until("nothing of it lives", lambda: nothing_left(tmp_path), 10)


def found(folder: Path, kind: str) -> list[str]:
    return [one.run for one in living(str(folder), f"{folder}/runs") if one.kind == kind]


def test_two_agents_of_one_session_are_seen_by_the_watcher_and_by_the_lock(folder: Path) -> None:
    argv = [sys.executable, "-I", "-S", str(WATCHER), str(folder), f"{folder}/runs"]
    with (
        ExitStack() as running,
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watcher,
    ):
        running.enter_context(agent(folder, "run-1", "ses"))
        wait_until("it has its helper", lambda: found(folder, HELPER) == ["run-1"], 20)
        running.enter_context(agent(folder, "run-2", "ses"))
        wait_until("both have their helper", lambda: len(found(folder, HELPER)) == 2, 20)
        assert sorted(found(folder, AGENT)) == ["run-1", "run-2"]
        said, _ = watcher.communicate(timeout=20)
    lives = [Life(**facts) for facts in json.loads(said)["lives"]]
    assert [(one.run, two.run) for one, two in overlaps(lives)] == [("run-1", "run-2")]
    log = [json.loads(line) for line in (folder / "agents.jsonl").read_text().splitlines()]
    assert [line["alone"] for line in log if line["what"] == "agent"] == [True, False]
