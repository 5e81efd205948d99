"""What judges two hosts must itself be right: overlapping lives are found, lives one after the other are none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.hosts import SMALL, chaos_hosts
from tests.chaos.lives import Life, Lives, boot_clock, overlaps
from tests.chaos.report import write_report
from tests.chaos.stack import wait_until


def _life(
    run: str, began: float, seen: float, *, host: str = "a", session: str = "s1", agent: str = "x"
) -> Life:
    return Life(1, began, seen, run, agent, session, host)


def test_a_run_that_begins_elsewhere_while_the_first_lives_is_found() -> None:
    found = overlaps([_life("r1", 10, 20), _life("r2", 19.5, 22, host="b", session="s2")])
    assert found == [
        "x: run r2 began on b 0.50 s before a process of run r1 was last seen on a",
    ]


def test_two_runs_in_one_session_are_found_on_one_host_too() -> None:
    assert len(overlaps([_life("r1", 10, 20), _life("r2", 12, 13)])) == 1


@pytest.mark.parametrize(
    "other",
    [
        _life("r2", 20.1, 30, host="b"),
        _life("r1", 11, 19),
        _life("r2", 11, 19, agent="y", session="s9"),
        _life("r2", 11, 19, session="s2"),
    ],
    ids=["afterwards", "of the same run", "of another agent", "another session on the same host"],
)
def test_what_does_not_collide_is_not_reported(other: Life) -> None:
    assert overlaps([_life("r1", 10, 20), other]) == []


def test_a_process_of_a_run_is_seen_with_its_marks_until_it_ends(tmp_path: Path) -> None:
    marks = {
        "BRIDGE_RUN_ID": "run_1",
        "BRIDGE_AGENT_ID": "x",
        "BRIDGE_SESSION_ID": "ses_1",
        "BRIDGE_HOST_NAME": "a",
        "BRIDGE_TOKEN_FILE": str(tmp_path / "token"),
    }
    began = boot_clock()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=marks)
    lives = Lives(tmp_path)
    lives.start()
    try:
        (life,) = wait_until("it is seen", lambda: lives.on("a"), 10)
        assert (life.pid, life.run, life.agent, life.session) == (process.pid, "run_1", "x", "ses_1")
        assert began - 0.02 <= life.began <= life.seen
    finally:
        process.communicate(b"\n", 10)
    wait_until("it is not seen any more", lambda: not lives.on("a"), 10)
    lives.stop()


def test_a_machine_without_network_namespaces_is_told_why_nothing_was_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told: list[str] = []
    account = chaos_hosts(SMALL, seed=1, say=told.append)
    assert account.skipped == "`ip` is missing: apt-get install iproute2"
    assert told == [f"two hosts: skipped, because {account.skipped}"]
    assert account.broken == []


def test_a_part_that_was_not_run_again_keeps_its_section(tmp_path: Path) -> None:
    file = tmp_path / "report.md"
    write_report(file, "Chaos", {"One": "- first\n", "Two": "- second\n"})
    write_report(file, "Chaos", {"Two": "- again\n"})
    told = file.read_text()
    assert told.startswith("# Chaos\n\n## One\n\n")
    assert "- first" in told
    assert "- second" not in told
    assert told.count("## Two") == told.count("- again") == 1
    assert told.count(f"{os.cpu_count()} cores") == 2
