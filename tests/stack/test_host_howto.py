"""docs/howto/hosts.md, command by command as it is written: a bridge, and a second machine in a folder of its own."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bridge.stack.leftovers import end_leftovers
from bridge.stack.ports import free_port
from tests.stack.running import ROOT, clean_environment, until

PAGE = ROOT / "docs" / "howto" / "hosts.md"
STOP_S = 60
IN_A_TERMINAL = "import pty, sys; pty.spawn(sys.argv[1:])"
REMEMBER = "declare -px; declare -f"


class Reader:
    """Somebody who types what the page says: in one shell, and in as many terminals as it asks for."""

    def __init__(self, home: Path) -> None:
        self.home, self.shell = home, home / "shell"
        self.shell.touch()
        path = f"{Path(sys.executable).parent}:{os.defpath}"
        self.environment = clean_environment(HOME=str(home), PATH=path, BRIDGE_PORT=str(free_port(0)))
        self.terminals: list[subprocess.Popen[bytes]] = []

    def type(self, words: str) -> str:
        """In the shell, which remembers its variables; what it says."""
        script = f"set -euo pipefail; . {self.shell}\n{words}\n{{ {REMEMBER}; }} > {self.shell}"
        done = subprocess.run(
            ["bash", "-c", script],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr, self.logs())
        return done.stdout

    def open_terminal(self, words: str) -> None:
        """In a terminal of its own, with the shell's variables."""
        argv = (sys.executable, "-c", IN_A_TERMINAL, "bash", "-c", f". {self.shell}\n{words}")
        with (self.home / f"terminal-{len(self.terminals)}.log").open("wb") as log:
            self.terminals.append(
                subprocess.Popen(
                    argv, env=self.environment, cwd=self.home, stdin=subprocess.PIPE, stdout=log, stderr=log
                )
            )

    def logs(self) -> str:
        """The end of what each terminal shows."""
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in self.home.glob("*.log"))

    def close_last(self, signum: signal.Signals = signal.SIGTERM) -> None:
        """End what runs in the last terminal, and wait for that."""
        process = self.terminals.pop()
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.killpg(int(child), signum)
        try:
            process.communicate(timeout=STOP_S)
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def reader() -> Iterator[Reader]:
    with TemporaryDirectory(prefix="wb", ignore_cleanup_errors=True) as folder:
        found = Reader(Path(folder))
        try:
            yield found
        finally:
            while found.terminals:
                with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                    found.close_last()
            end_leftovers(found.home / "bridge")


def hosts(reader: Reader) -> dict[str, dict[str, object]]:
    said = json.loads(reader.type("bridge host --list --json --data ~/bridge"))
    return {item["host"]: item for item in said["items"]}


def test_the_page_can_be_followed_word_by_word(reader: Reader) -> None:
    blocks = re.findall(r"```sh( terminal)?\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 9
    said: list[str] = []
    for terminal, words in blocks:
        if not terminal:
            said.append(reader.type(words))
            continue
        reader.open_terminal(words)
        if "bridge up" in words:
            until((reader.home / "bridge" / "stack.json").exists, "the bridge")
        elif "bridge host" in words:
            until(lambda: "east" in hosts(reader), "the second machine's host")
        else:
            until(lambda: hosts(reader)["east"]["attached_sessions"] == 1, "the terminal there")
    everything = "\n".join(said)
    assert re.search(r"^east +ready", everything, re.MULTILINE)
    assert re.search(r"^east +draining", everything, re.MULTILINE)
    assert '"agent_id":"reviewer","host":"east"' in everything.replace(" ", "")
    assert hosts(reader)["east"]["draining"] is False

    reader.close_last(signal.SIGHUP)  # an interactive shell ends when its terminal is closed
    reader.close_last()
    assert "Warm shutdown" in reader.logs()
