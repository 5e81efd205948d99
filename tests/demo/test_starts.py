"""What the bridge is told to start, and what scenes make of its runs."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bridge.adapters.presets import load_preset
from bridge.adapters.presets.command import fill, read_command
from bridge.demo.processes import MARK
from bridge.demo.scenes.ladder import apart, deadline_s, last_by_old_s, under_another
from bridge.demo.starts import RECEIPTS, describe, in_order, preset, programs, since, write_presets
from bridge.terminal import Rules

VALUES = {"python": "/usr/bin/python3", "native_id": "nat_1"}


def at(second: float) -> str:
    return f"2026-03-01T12:00:{second:09.6f}Z"


def run(begun: float, ended: float | None, **other: Any) -> dict[str, Any]:  # noqa: ANN401  its fields
    values: dict[str, Any] = {
        "rung": "resume",
        "slot": 1,
        "pid": 42,
        "state": "running" if ended is None else "ended",
        "result": None if ended is None else "crashed",
        "exit_status": 1,
        "running_s": 0.25,
        "begun_at": at(begun),
        "ended_at": None if ended is None else at(ended),
    }
    return values | other


def step(second: float, version: int, **other: Any) -> dict[str, Any]:  # noqa: ANN401  its fields
    return {
        "at": at(second),
        "event": "due",
        "policy_version": version,
        "to_state": "pending",
        "detail": None,
    } | other


def test_a_preset_is_one_that_the_host_takes_whatever_the_paths() -> None:
    ledger, desk = Path('/tmp/a "quoted" folder/\\ledger'), Path("/tmp/desk")
    text = preset("builder", ledger, desk, resume=["troubles=crash,hang"], spawn=[])
    data = tomllib.loads(text)
    command = read_command(data["name"], data["command"])
    assert command.rungs == ["resume", "spawn"]
    assert (command.cwd, command.environment) == (str(desk), ("PATH", MARK))
    argv = fill(command.argv["resume"], VALUES)
    assert argv[3:] == ["builder", str(ledger), "resume", "nat_1", "troubles=crash,hang"]
    assert command.identity is not None
    assert (command.identity.field, dict(command.identity.event)) == ("session_id", {"type": "session"})


def test_the_presets_of_the_play_are_those_that_the_host_and_the_terminals_take(tmp_path: Path) -> None:
    folder, data = tmp_path / "play", tmp_path / "play" / "data"
    data.mkdir(parents=True)
    write_presets(data, folder)
    loaded = {name: load_preset(name, data / "presets") for name in programs(folder)}
    rungs = {name: preset.command.rungs for name, preset in loaded.items() if preset.command}
    assert rungs == {"executor": ["resume"], "builder": ["resume", "spawn"], "sleeper": ["spawn"]}
    assert re.fullmatch(Rules(**loaded["executor"].screen.arguments()).prompt, "> ")


def test_a_rung_that_is_not_given_cannot_be_started() -> None:
    data = tomllib.loads(preset("executor", Path("/l"), Path("/d"), resume=[]))
    assert read_command("executor", data["command"]).rungs == ["resume"]


@pytest.mark.parametrize(
    ("receipts", "verdict"),
    [
        (list(RECEIPTS), True),
        (["stored", "accepted", "answered"], True),  # a quick one was not seen
        (["stored", "accepted", "offered", "answered"], False),
        (["stored", "failed", "answered"], False),
        (["stored", "offered"], False),
        ([], False),
    ],
)
def test_receipts_only_go_forward_and_end_with_the_answer(receipts: list[str], verdict: bool) -> None:
    assert in_order(receipts) is verdict


def test_a_run_says_how_it_stands_or_how_it_ended() -> None:
    assert describe(run(1, None)) == "resume, slot 1, pid 42: running"
    assert describe(run(1, 2)) == "resume, slot 1, pid 42: crashed, status 1, 0.2 s"
    assert describe(run(1, 2, result="lost", exit_status=None)) == "resume, slot 1, pid 42: lost, 0.2 s"


def test_two_runs_at_once_are_noticed() -> None:
    assert apart([run(1, 2), run(2, 3), run(3.5, 4)])
    assert not apart([run(1, 2), run(1.9, 3)])


def test_a_decision_by_another_policy_is_late_when_it_began_after_a_second() -> None:
    version = {"created_at": at(10), "policy_version": 4}
    story = {"steps": [step(9, 3), step(11.9, 3), step(12.1, 4)]}  # the second one was under way for a while
    assert under_another(story, version) == []
    assert len(under_another({"steps": [*story["steps"], step(12.2, 3)]}, version)) == 1
    assert last_by_old_s(story, version) == 1.9
    assert last_by_old_s({"steps": [step(12.1, 4)]}, version) is None


def test_receipts_that_came_together_are_told_together() -> None:
    assert since([], "stored") == ["stored"]
    assert since(["stored"], "accepted") == ["offered", "accepted"]
    assert since(["stored", "accepted"], "failed") == ["failed"]


def test_the_deadline_of_an_attempt_is_read_from_its_story() -> None:
    handed = {"attempt_id": "wake_1.2", "due_at": at(23)}
    story = {"steps": [step(19, 4), step(20, 4, to_state="waiting", detail=handed)]}
    assert deadline_s(story, "wake_1.2") == 3.0
    assert deadline_s(story, "wake_1.1") is None
