"""A tmux server of a test's own, humans at attached clients of it, and a wrapper that serves one of its panes."""

import contextlib
import select
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.config import inherited_environment
from tests.terminal.world import DEADLINE_S, Terminal, World, program


class TmuxWorld(World):
    """A wrapper beside a pane. `terminal` is the wrapper's own; `humans` are clients of the server."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.socket = directory / "tmux"
        self.pane_id = ""
        self.humans: list[Terminal] = []

    def tmux(self, *words: str) -> str:
        command = ["tmux", "-S", str(self.socket), "-f", "/dev/null", *words]
        variables = {name: value for name, value in inherited_environment().items() if name != "TMUX"}
        done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False, timeout=10)
        return done.stdout.rstrip("\n")

    def pane(self, *command: str, size: tuple[int, int] = (80, 24)) -> str:
        """Open a session `s` with a program in its pane."""
        geometry = ["-x", str(size[0]), "-y", str(size[1])]
        self.pane_id = self.tmux(
            "new-session", "-d", "-s", "s", "-P", "-F", "#{pane_id}", *geometry, *command
        )
        return self.pane_id

    def line_agent(self, **size: Any) -> "TmuxWorld":  # noqa: ANN401  the pane's own fields
        self.pane(*program("line.py", str(self.directory / "got")), **size)
        self.until(lambda: ">" in self.picture())
        return self

    def serve(self, *options: str, command: tuple[str, ...] = ()) -> "TmuxWorld":
        """Start the wrapper, for the pane that is there or for a new one."""
        which = ["--", *command] if command else []
        pane = [] if command else ["--pane", self.pane_id]
        wrapper = program("attached.py", "--dir", str(self.directory), "--socket", str(self.socket))
        self.terminal = Terminal([*wrapper, *pane, *options, *which], cols=200)
        return self

    def ready(self) -> "TmuxWorld":
        super().ready()
        return self

    def human(self, *options: str, session: str = "s") -> Terminal:
        """Somebody attaches in a terminal of his own."""
        before = len(self.clients())
        attach = [
            "/usr/bin/env",
            "-u",
            "TMUX",
            "tmux",
            "-S",
            str(self.socket),
            "attach",
            *options,
            "-t",
            session,
        ]
        window = Terminal(attach, environment={"TERM": "xterm-256color"})
        self.humans.append(window)
        self.until(lambda: len(self.clients()) > before)
        return window

    def clients(self) -> list[str]:
        return self.tmux("list-clients", "-F", "#{client_name}").split()

    def picture(self) -> str:
        return self.tmux("capture-pane", "-p", "-t", self.pane_id)

    def said(self) -> str:
        """What the wrapper has told whoever started it."""
        return self.window.text.replace("\n", " ")

    def keys_are_held(self, session: str = "s") -> bool:
        return "bridge-hold" in self.tmux("show-options", "-v", "-t", session, "key-table")

    def held(self) -> str:
        return self.tmux("show-buffer", "-b", f"bridge-hold-{self.pane_id[1:]}")

    def shows(self, text: str) -> bool:
        return text in self.picture()

    def options(self) -> str:
        """All that a wrapper may have changed."""
        keys = self.tmux("list-keys").splitlines()
        ours = [line for line in keys if "bridge" in line]
        session = self.tmux("show-options", "-t", "s")
        return "\n".join([*ours, session, self.tmux("show-options", "-p", "-t", self.pane_id)])

    def until(self, condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
        try:
            super().until(condition, deadline_s)
        except AssertionError as late:
            raise AssertionError(f"{late}\n-- the pane:\n{self.picture()}") from late

    def pump(self, wait_s: float) -> None:
        for human in self.humans:
            with contextlib.suppress(OSError):
                if human.master >= 0 and _readable(human.master):
                    human.read()
        super().pump(wait_s)

    def close(self) -> None:
        for human in self.humans:
            human.close()
        super().close()
        self.tmux("kill-server")


def _readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])
