"""The runtime `tmux` under test: `bridge attach` beside a pane of a tmux server of the suite's own.

Rules of this file:
- The user's tmux is never touched: another socket, no configuration file.
- A human is a real client of that server, in a window of the suite's.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bridge.conformance.live import HostSide, Session, Wanted, environment, kill_left
from bridge.conformance.nursery import Child
from bridge.conformance.traps import NotHere, Wrong
from bridge.conformance.truth import Truth, until
from bridge.conformance.window import Window
from bridge.conformance.wrapped import module_command
from bridge.ports.runtime import Handed, Line

CALL_S: Final = 5.0
END_S: Final = 2.0
READY_S: Final = 8.0
SHELL_RC: Final = """PS1='$ '
command_not_found_handle() { printf '{"event": "shell"}\\n' >> %(truth)s; }
prompting() { [ -s %(truth)s ] && printf '{"event": "prompting"}\\n' >> %(truth)s; }
PROMPT_COMMAND=prompting
"""


class TmuxAdapter:
    """The runtime `tmux`, on a server of the suite's."""

    name = "tmux"

    def __init__(self, preset: str, presets_dir: Path | None) -> None:
        self.host = HostSide(preset, presets_dir)
        self.socket = self.host.folder / "tmux.sock"

    def why_not(self) -> str | None:
        """It needs tmux."""
        return None if shutil.which("tmux") else "tmux is not installed"

    def open(self, wanted: Wanted) -> Session:
        """Start the program in a pane, and `bridge attach` beside it."""
        return PaneSession(self, wanted)

    def call(self, *words: str) -> str:
        """One command of tmux. Raises Wrong when it fails."""
        done = subprocess.run(  # noqa: S603  the suite's own words, no shell
            ["tmux", "-u", "-f", "/dev/null", "-S", str(self.socket), *words],  # noqa: S607  the user's tmux
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment(),
            timeout=CALL_S,
            check=False,
        )
        if done.returncode:
            message = f"tmux {words[0]}: {done.stderr.decode(errors='replace').strip()}"
            raise Wrong(message)
        return done.stdout.decode(errors="replace").strip()

    def close(self) -> None:
        """End the server, and clear away."""
        with contextlib.suppress(Wrong, OSError, subprocess.TimeoutExpired):
            self.call("kill-server")
        self.host.close()


class PaneSession:
    """One pane with a program in it, and the process that serves it."""

    def __init__(self, adapter: TmuxAdapter, wanted: Wanted) -> None:
        self.truth = Truth(wanted.truth)
        self._adapter, self._host = adapter, adapter.host
        self.session_id = f"ses_{self._host.number()}"
        self._folder = wanted.truth.parent
        self._window: Window | None = None
        self._beside: Child | None = None
        try:
            self.pane = self._open(wanted)
            if wanted.human:
                self._sit(wanted)
            self._serve()
        except BaseException:
            self.close()
            raise

    def hand_over(self, line: Line) -> Handed:
        """Through the host's side, as a worker does it."""
        return self._host.hand_over(self.session_id, line)

    def type(self, data: bytes) -> None:
        """Press keys in the window that shows the pane."""
        self._seat.type(data)

    def resize(self, cols: int, rows: int) -> None:
        """Drag the corner of the window that shows the pane."""
        self._seat.resize(cols, rows)

    def act(self, what: str, *words: str, then: Sequence[str] = ()) -> None:
        """A command of tmux on this pane."""
        self._adapter.call(what, *words, "-t", self.pane, *then)

    def close(self) -> None:
        """End everything of this pane."""
        if self._beside is not None:
            self._beside.send_signal(signal.SIGTERM)
            try:
                self._beside.wait(END_S)
            except subprocess.TimeoutExpired:
                self._beside.kill()
                self._beside.wait(END_S)
        with contextlib.suppress(Wrong, subprocess.TimeoutExpired):
            self._adapter.call("kill-session", "-t", self.session_id)
        if self._window is not None:
            self._window.close()
        kill_left(self.truth)

    @property
    def _seat(self) -> Window:
        assert self._window is not None  # noqa: S101  a play says that a human is there
        return self._window

    def _open(self, wanted: Wanted) -> str:
        size = ("-x", str(wanted.cols), "-y", str(wanted.rows))
        command = self._shell() if wanted.from_shell else list(wanted.command)
        new = ("new-session", "-d", "-P", "-F", "#{pane_id}", "-s", self.session_id, *size)
        pane = self._adapter.call(*new, "-c", str(self._folder), *command)
        if wanted.from_shell:
            self._adapter.call("send-keys", "-t", pane, "-l", shlex.join(wanted.command))
            self._adapter.call("send-keys", "-t", pane, "Enter")
        until(self.truth.pid, "the fake program, ready", READY_S)
        return pane

    def _shell(self) -> list[str]:
        shell = shutil.which("bash")
        if shell is None:
            raise NotHere("bash is not installed")
        rc = self._folder / "rc"
        rc.write_text(SHELL_RC % {"truth": shlex.quote(str(self.truth.path))})
        return [shell, "--noprofile", "--rcfile", str(rc), "-i"]

    def _sit(self, wanted: Wanted) -> None:
        window = self._window = Window(wanted.cols, wanted.rows + 1)
        client = ("tmux", "-u", "-S", str(self._adapter.socket), "attach", "-t", self.session_id)
        command = module_command("programs.seated", window.name, *client, bare=True)
        window.start(command, environment=environment(), cwd=self._folder)
        until(
            lambda: self._adapter.call("list-clients", "-t", self.session_id), "the human's client", READY_S
        )

    def _serve(self) -> None:
        told = self._host.told(self.session_id, pane=self.pane, socket=str(self._adapter.socket))
        self._beside = self._host.nursery.fork("wrapped_pane", told, self._folder)
        self._host.until_held(self.session_id)
