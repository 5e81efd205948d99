"""`bridge attach` as a user starts it, against a bridge that speaks just the calls it needs, over real HTTP."""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.adapters import presets
from tests.terminal.test_cli import Bridge, token_of
from tests.terminal.tmux_world import TmuxWorld
from tests.terminal.world import PROGRAMS, PYTHON, Host, Terminal

pytestmark = pytest.mark.needs("tmux")


class Cli(TmuxWorld):
    """A data directory, a preset of the host's own, a program of its name, and the command line."""

    def __init__(self, directory: Path, bridge: Bridge) -> None:
        run_dir = directory / "run"
        run_dir.mkdir(mode=0o700)
        super().__init__(directory)
        self.host.hang_up()
        self.host = Host(run_dir / "host-local.sock")
        (directory / "stack.json").write_text(json.dumps({"url": bridge.url, "operator_token": "operator"}))
        (directory / "presets").mkdir(mode=0o700)
        line = (Path(presets.__file__).parent / "line.toml").read_text()
        own = line.replace('name = "line"', 'name = "liner"') + '\n[live]\nprograms = ["liner"]\n'
        (directory / "presets" / "liner.toml").write_text(own)
        self.program = directory / "liner"
        self.program.write_text(f"#!{PYTHON}\n" + (PROGRAMS / "line.py").read_text())
        self.program.chmod(0o700)

    def bridge(self, *words: str, **variables: Any) -> "Cli":  # noqa: ANN401  variables of the environment
        cli = [
            PYTHON,
            "-m",
            "bridge.cli.app",
            "attach",
            "--agent",
            "reviewer",
            "--tmux-socket",
            str(self.socket),
        ]
        environment = {"BRIDGE_DATA": str(self.directory), **variables}
        self.terminal = Terminal([*cli, *words], cols=200, environment=environment)
        return self

    def liner(self) -> list[str]:
        return [str(self.program), str(self.directory / "got")]


@pytest.fixture
def cli() -> Iterator[Cli]:
    bridge = Bridge()
    with tempfile.TemporaryDirectory(prefix="wbt-", dir="/tmp") as directory:
        made = Cli(Path(directory), bridge)
        yield made
        made.close()
    bridge.close()


def secrets_in_sight(cli: Cli, token: str) -> list[str]:
    """Command lines of this machine that have the token, and the tmux server's variables if they do."""
    seen = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)]
    found = [line.decode() for line in seen if token.encode() in line]
    return found + (
        [cli.tmux("show-environment", "-g")] if token in cli.tmux("show-environment", "-g") else []
    )


def test_a_program_is_started_known_by_its_name_and_woken(cli: Cli) -> None:
    token = token_of("reviewer", "ses-1", 7)
    own = {"BRIDGE_TOKEN": token, "BRIDGE_URL": json.loads((cli.directory / "stack.json").read_text())["url"]}
    cli.bridge("--", *cli.liner(), **own).ready()
    registration = cli.host.registrations[0]
    assert (registration["preset"], registration["session_id"]) == ("liner", "ses-1")
    assert cli.injected("wake-1", "hello")["result"] == "accepted"
    cli.until(lambda: cli.lines() == ["hello"])
    assert secrets_in_sight(cli, token) == []


def test_a_pane_is_served_by_its_programs_name(cli: Cli) -> None:
    cli.pane("/bin/bash", "--norc", "--noprofile", "-i")
    cli.tmux("send-keys", "-t", cli.pane_id, " ".join(cli.liner()), "Enter")
    cli.until(lambda: cli.picture().rstrip().endswith(">"))
    cli.bridge("--pane", cli.pane_id).ready()
    assert cli.host.registrations[0]["preset"] == "liner"
    cli.tmux("send-keys", "-t", cli.pane_id, "C-d")
    cli.until(lambda: cli.host.ended)
    cli.until(lambda: "bash is there" in cli.said())
    os.kill(cli.window.pid, signal.SIGINT)
    assert cli.exit_code() == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "either --pane or"),
        (("--pane", "%0", "--", "cat"), 2, "either --pane or"),
        (("--pane", "%7"), 1, "can't find pane: %7"),
        (("--pane", "%0;kill-server"), 1, "is no pane's id"),
        (("--preset", "nonesuch", "--", "cat"), 2, "no preset 'nonesuch'"),
    ],
)
def test_what_cannot_be_served_is_said(cli: Cli, words: tuple[str, ...], code: int, said: str) -> None:
    cli.pane("cat")
    cli.bridge(*words)
    assert cli.exit_code() == code
    cli.until(lambda: said in cli.said())
    assert cli.tmux("list-sessions") != ""


def test_a_session_of_that_name_is_not_taken_over(cli: Cli) -> None:
    cli.pane("cat")
    cli.tmux("rename-session", "-t", "s", "bridge-reviewer")
    cli.bridge("--", *cli.liner())
    assert cli.exit_code() == 1
    cli.until(lambda: "duplicate session: bridge-reviewer" in cli.said())
    assert not list((cli.directory / "run" / "agents").iterdir())


def test_without_tmux_it_says_so(cli: Cli) -> None:
    beside = cli.directory / "bin"
    beside.mkdir()
    (beside / "python").symlink_to(shutil.which("python3") or PYTHON)
    cli.bridge("--", *cli.liner(), PATH=str(beside))
    assert cli.exit_code() == 1
    cli.until(lambda: "there is no tmux on this machine" in cli.said())
