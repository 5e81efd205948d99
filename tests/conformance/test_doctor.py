"""`bridge doctor runtime`: what it prints, for a person and for a program, and the user's own CLI under it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.config import inherited_environment

AGENT = """
import sys
if "--version" in sys.argv:
    print("agent 1.2.3")
    sys.exit()
if "--resume" in sys.argv:
    sys.exit({resumes})
{before}
while True:
    line = input("> ")
    print("got", line, flush=True)
"""
TRAP = "--trap=session id like an option"


@pytest.fixture(name="data")
def _data(tmp_path: Path) -> Path:
    """A data directory with a preset of the user's own, whose program is `agent`."""
    (tmp_path / "presets").mkdir(mode=0o700)
    line = (Path(__file__).parents[2] / "bridge" / "adapters" / "presets" / "line.toml").read_text()
    text = line.replace('name = "line"', 'name = "mine"')
    command = f'\n[command]\nresume = ["{tmp_path}/agent", "--resume", "{{native_id}}"]\n'
    (tmp_path / "presets" / "mine.toml").write_text(text + command)
    agent(tmp_path)
    return tmp_path


def agent(folder: Path, *, before: str = "", resumes: int = 4) -> None:
    path = folder / "agent"
    path.write_text(f"#!{sys.executable} -IS\n" + AGENT.format(before=before, resumes=resumes))
    path.chmod(0o755)


def doctor(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bridge.cli.app", "doctor", "runtime", *words, "--data", str(data)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=inherited_environment(), check=False
    )


def report(data: Path, *words: str) -> tuple[int, dict[str, Any]]:
    done = doctor(data, *words, "--json")
    return done.returncode, json.loads(done.stdout)


def test_a_report_for_a_program_has_every_trap_with_what_came_of_it(data: Path) -> None:
    code, found = report(data, "codex", "--adapter=command", TRAP)
    assert code == 0
    assert (found["preset"], found["passed"], found["failed"], found["skipped"]) == ("codex", 1, 0, 0)
    (adapter,) = found["adapters"]
    assert (adapter["adapter"], adapter["available"], adapter["why"]) == ("command", True, "")
    (trap,) = adapter["traps"]
    assert trap.keys() == {"name", "what", "result", "why", "s"}
    assert trap["result"] == "passed"


def test_a_report_for_a_person_says_what_was_not_tried_and_why(data: Path) -> None:
    done = doctor(data, "line", "--adapter=command")
    assert done.returncode == 0
    assert "command: not tried, the preset line has no [command]" in done.stdout
    done = doctor(data, "codex", "--adapter=command", TRAP)
    assert "✓ session id like an option" in done.stdout
    assert "1 passed" in done.stdout


def test_an_unknown_preset_says_which_there_are(data: Path) -> None:
    done = doctor(data, "nobody")
    assert done.returncode == 2
    assert all(name in done.stderr for name in ("claude", "codex", "line", "mine"))


def test_traps_are_listed_without_starting_anything(data: Path) -> None:
    rows = json.loads(doctor(data, "--list", "--json").stdout)
    assert {"live", "start", "post"} == {row["kind"] for row in rows}
    assert "approval dialog" in doctor(data, "--list").stdout


def test_the_users_own_program_is_seen_given_a_draft_and_nothing_is_sent(data: Path) -> None:
    code, found = report(data, "mine", "--adapter=program", "--resume-unknown")
    results = {trap["name"]: trap["result"] for trap in found["adapters"][0]["traps"]}
    assert (code, found["version"], found["program"]) == (0, "agent 1.2.3", f"{data}/agent")
    assert results == {
        "tells its version": "passed",
        "empty box is recognised": "passed",
        "draft is read exactly": "passed",
        "nothing is sent": "passed",
        "unknown session is refused": "passed",
    }


def test_a_program_that_resumes_what_there_is_not_fails(data: Path) -> None:
    agent(data, resumes=0)
    code, found = report(data, "mine", "--adapter=program", "--resume-unknown")
    (failed,) = [trap for trap in found["adapters"][0]["traps"] if trap["result"] == "failed"]
    assert (code, failed["name"]) == (1, "unknown session is refused")
    code, found = report(data, "mine", "--adapter=program")
    (skipped,) = [trap for trap in found["adapters"][0]["traps"] if trap["result"] == "skipped"]
    assert "--resume-unknown" in skipped["why"]


def test_a_program_that_asks_something_first_is_left_alone(data: Path) -> None:
    agent(data, before="input('Trust this folder? [y/N] '); open('answered', 'w')")
    code, found = report(data, "mine", "--adapter=program", f"--cwd={data}")
    trap = found["adapters"][0]["traps"][1]
    assert (code, trap["result"]) == (0, "skipped")
    assert "asks something first" in trap["why"]
    assert not (data / "answered").exists()


def test_a_program_whose_screen_is_another_fails_with_what_it_shows(data: Path) -> None:
    agent(data, before="print('an agent of another look', flush=True); sys.exit(3)")
    code, found = report(data, "mine", "--adapter=program")
    trap = found["adapters"][0]["traps"][1]
    assert (code, trap["result"]) == (1, "failed")
    assert "ended with status 3" in trap["why"]
    assert "an agent of another look" in trap["why"]
