"""Processes of a play: found by their mark whoever started them, and not found once they have ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.config import inherited_environment
from bridge.core.errors import Conflict
from bridge.demo.play import Options, play
from bridge.demo.processes import RUN, TOKEN, Troupe, of_run
from bridge.demo.timeline import Form

STARTS_ANOTHER = (
    "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import signal; signal.pause()'])"
)


@pytest.fixture
def troupe(tmp_path: Path) -> Iterator[Troupe]:
    troupe = Troupe(tmp_path, inherited_environment())
    yield troupe
    troupe.gone(0)
    for process in troupe.started:
        process.wait()


def until(what: str, troupe: Troupe, count: int) -> None:
    for _ in range(2000):
        if len(troupe.left()) == count:
            return
        signal.sigtimedwait([], 0.005)
    raise AssertionError(f"{what}: {troupe.left()}")


def test_what_a_process_started_is_found_too(troupe: Troupe, tmp_path: Path) -> None:
    troupe.start([sys.executable, "-c", STARTS_ANOTHER], log=tmp_path / "log")
    until("both run", troupe, 2)
    assert all("python" in line for line in troupe.left())


def test_a_run_is_found_by_where_its_token_is_and_by_its_own_mark(tmp_path: Path) -> None:
    run_dir = tmp_path / "sockets"
    troupe = Troupe(tmp_path / "data", inherited_environment(), run_dir)
    marks = {RUN: "run_of_this_test", TOKEN: str(run_dir / "runs" / "run_1" / "token")}
    stays = [sys.executable, "-c", "import signal; signal.pause()"]
    with subprocess.Popen(stays, env=marks, cwd="/") as process:
        until("it runs", troupe, 1)
        assert of_run("run_of_this_test") == [process.pid]
        assert of_run("run_of_another") == []
        process.kill()
    assert troupe.left() == []
    assert of_run("run_of_this_test") == []


def test_one_that_waits_to_be_buried_is_not_left(troupe: Troupe, tmp_path: Path) -> None:
    process = troupe.start([sys.executable, "-c", ""], log=tmp_path / "log")
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert troupe.left() == []


def test_another_plays_processes_are_not_ours(troupe: Troupe, tmp_path: Path) -> None:
    other = Troupe(tmp_path / "other", inherited_environment())
    process = other.start([sys.executable, "-c", "import signal; signal.pause()"], log=tmp_path / "log")
    until("it runs", other, 1)
    assert troupe.left() == []
    assert len(other.gone(0)) == 1
    assert process.wait() == -signal.SIGKILL


def test_one_that_does_not_end_is_killed(troupe: Troupe, tmp_path: Path) -> None:
    stays = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
    process = troupe.start([sys.executable, "-c", stays], log=tmp_path / "log")
    assert not troupe.wait(process, 0.01)
    assert troupe.left() == []


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(Conflict):
        play(Options(Form.PLAIN, data=tmp_path), {}, lambda _: None)
    assert (tmp_path / "mine").read_text() == "precious"
