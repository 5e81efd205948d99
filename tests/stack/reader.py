"""Somebody who follows a page of docs/howto, block by block as it is written, in a home of its own."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bridge.stack.leftovers import end_leftovers
from bridge.stack.ports import free_port
from tests.stack.running import clean_environment

STOP_S = 60
IN_A_TERMINAL = "import pty, sys; pty.spawn(sys.argv[1:])"
REMEMBER = "declare -px; declare -f"


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """The page's blocks of shell: ` terminal` for those that want a terminal of their own, and the words."""
    return re.findall(r"```sh( terminal)?\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


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


@contextmanager
def a_reader() -> Iterator[Reader]:
    """A reader; nothing of theirs is left afterwards."""
    with TemporaryDirectory(prefix="wb", ignore_cleanup_errors=True) as folder:
        found = Reader(Path(folder))
        try:
            yield found
        finally:
            while found.terminals:
                with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                    found.close_last()
            end_leftovers(found.home / "bridge")
