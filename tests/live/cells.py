"""The cells of a run: which client, in what, woken which way; and how each is started.

Rules of this file:

- A client is started as its user would: `bridge run -- codex` in a terminal, or in a tmux pane that `bridge attach`
  holds and a real `tmux attach` looks at. Homes and models are the cell's own.
- The way `typed` is the built-in preset without its queue: the same program, woken by the keyboard.
"""

from __future__ import annotations

import json
import random
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Self

from tests.agents.homes import Home, make_home
from tests.agents.mock_model import MockModel
from tests.chaos.stack import wait_until
from tests.live.human import Habits
from tests.live.script import Script
from tests.live.terminal import Terminal

READY_S = 30.0
CATCH_UP = Path(__file__).with_name("programs") / "catch_up.py"
_WHEEL_MODES = (1000, 1002, 1003)


@dataclass(frozen=True)
class Cell:
    """One arrangement: `client` codex or claude, `runtime` run or tmux, `way` queue or typed."""

    client: str
    runtime: str
    way: str

    @property
    def name(self) -> str:
        """Also the agent's."""
        return f"{self.client}-{self.runtime}-{self.way}"


CELLS = (
    Cell("codex", "run", "queue"),
    Cell("codex", "tmux", "queue"),
    Cell("codex", "run", "typed"),
    Cell("codex", "tmux", "typed"),
    Cell("claude", "run", "typed"),
    Cell("claude", "tmux", "typed"),
)


def _wheel(terminal: Terminal, chance: random.Random) -> tuple[bytes, bytes]:
    """A terminal sends the wheel to programs that ask for it; of others it scrolls its own lines."""
    if not any(terminal.mode(mode) for mode in _WHEEL_MODES):
        return b"", b""
    times = chance.randint(3, 8)
    return b"\x1b[<64;20;10M" * times, b"\x1b[<65;20;10M" * (times + 4)


def _transcript(terminal: Terminal, chance: random.Random) -> tuple[bytes, bytes]:
    """Claude Code leaves scrolling to the terminal; its own way back is the transcript, opened and closed by Ctrl-O."""
    del terminal, chance
    return b"\x0f", b"\x0f"


def _copy_mode(terminal: Terminal, chance: random.Random) -> tuple[bytes, bytes]:
    del terminal
    return b"\x02[" + b"\x1b[5~" * chance.randint(1, 3), b"q"


_DIALOGS = {
    "codex": (re.compile(r"Would you like to run the following command\?"), b"y", b"n"),
    "claude": (re.compile(r"Do you want to proceed\?"), b"1", b"\x1b"),
}
_ARGUMENTS = {
    "codex": (
        *("-s", "workspace-write", "-a", "on-request"),
        *("-c", "sandbox_workspace_write.network_access=true"),
    ),
    "claude": (),
}
_READY = {"codex": re.compile("^\u203a ", re.MULTILINE), "claude": re.compile("^\u276f", re.MULTILINE)}


def habits(cell: Cell) -> Habits:
    """What a person who works there knows."""
    dialog, yes, no = _DIALOGS[cell.client]
    alone = _wheel if cell.client == "codex" else _transcript
    return Habits(dialog, yes, no, _copy_mode if cell.runtime == "tmux" else alone)


@dataclass
class Started:
    """A cell whose client is at its prompt."""

    cell: Cell
    folder: Path
    data: Path
    model: MockModel = field(init=False)
    home: Home = field(init=False)
    script: Script = field(init=False)
    terminal: Terminal = field(init=False)
    marks: Path = field(init=False)
    bridge: list[Terminal] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        self.marks = self.folder / "marks"
        self.marks.mkdir()
        self.model = MockModel()
        self.model.__enter__()
        self.home = make_home(self.folder / "home", self.model.url)
        catch_up = shlex.join([sys.executable, str(CATCH_UP)])
        self.script = Script(self.cell.client, self.model, catch_up, str(self.marks))
        allowed = {"permissions": {"allow": [f"Bash({catch_up})"]}}
        (self.home.folder / ".claude" / "settings.json").write_text(json.dumps(allowed))
        try:
            self.terminal = self._in_tmux() if self.cell.runtime == "tmux" else self._in_run()
            ready = _READY[self.cell.client].search
            shown = self.terminal.until(lambda text: bool(ready(text)), READY_S)
            assert shown, f"{self.cell.name} never showed its prompt:\n{self.terminal.text()}"
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for terminal in [*self.bridge, *([self.terminal] if hasattr(self, "terminal") else [])]:
            terminal.close()
        if self.cell.runtime == "tmux":
            subprocess.run(["tmux", "-S", self._socket, "kill-server"], check=False, capture_output=True)
        self.model.__exit__(None, None, None)

    def _command(self) -> list[str]:
        return [self.cell.client, *_ARGUMENTS[self.cell.client]]

    def _chosen(self) -> list[str]:
        typed = self.cell.client == "codex" and self.cell.way == "typed"
        return ["--preset", "codextyped" if typed else self.cell.client]

    def _in_run(self) -> Terminal:
        bridge = ["bridge", "run", "--agent", self.cell.name, "--data", str(self.data), *self._chosen()]
        return Terminal([*bridge, "--", *self._command()], self.home.environment(), str(self.home.work))

    @property
    def _socket(self) -> str:
        return str(self.folder / "tmux")

    def _in_tmux(self) -> Terminal:
        """`bridge attach` starts it in a pane of a tmux of its own; the person looks at that with a client of tmux."""
        bridge = ["bridge", "attach", "--agent", self.cell.name, "--data", str(self.data), *self._chosen()]
        argv = [*bridge, "--tmux-socket", self._socket, "--", *self._command()]
        environment, work = self.home.environment(), str(self.home.work)
        self.bridge.append(Terminal(argv, environment, work))
        tmux = ["tmux", "-S", self._socket]
        asked = [*tmux, "has-session"]

        def there() -> bool:
            return subprocess.run(asked, check=False, capture_output=True).returncode == 0

        wait_until(f"a session of tmux: {self.bridge[0].text()}", there, READY_S)
        return Terminal([*tmux, "attach"], environment, work)


def write_typed_preset(data: Path) -> None:
    """A copy of codex's preset that knows no queue."""
    text = resources.files("bridge.adapters.presets").joinpath("codex.toml").read_text(encoding="utf-8")
    text = re.sub(r'^name = "codex"$', 'name = "codextyped"', text, flags=re.MULTILINE)
    text = re.sub(r"^\[live\.queue\]\n(?:(?!\[).*\n?)*", "", text, flags=re.MULTILINE)
    presets = data / "presets"
    presets.mkdir(mode=0o700, exist_ok=True)
    (presets / "codextyped.toml").write_text(text)


def wall() -> float:
    """What to add to monotonic seconds for seconds since the epoch."""
    return time.time() - time.monotonic()  # noqa: TID251  files and the database tell those
