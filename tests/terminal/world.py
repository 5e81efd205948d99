"""The other ends of a wrapper, for its tests: a human's terminal (a real pty with a real emulator) and a
host worker (a real socket that speaks the wire contract). Everything waits for a condition, with a
deadline.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSCTTY, TIOCSWINSZ
from typing import Any

import pyghostty

from bridge.config import inherited_environment

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).resolve().parent / "programs"
PYTHON = sys.executable
DEADLINE_S = 20.0


def program(name: str, *args: str) -> list[str]:
    """The command of one of the scripted agents."""
    return [PYTHON, str(PROGRAMS / name), *args]


def descendants(pid: int) -> list[int]:
    """All processes below this one; one that ends while it is looked at has none."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [found for child in map(int, children) for found in (child, *descendants(child))]


def lives(pid: int) -> bool:
    """Whether a process runs; one that waits to be buried does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@dataclass
class Terminal:
    """A window with an emulator in it, and a program started in it as a login program would be."""

    argv: list[str]
    cols: int = 80
    rows: int = 24
    answers: bool = True
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model: Any = pyghostty.Terminal(cols=self.cols, rows=self.rows, scrollback=200)
        self.raw = b""
        self.code: int | None = None
        self.master, slave = os.openpty()
        self.resize(self.cols, self.rows)
        self.pid = os.fork()
        if self.pid == 0:
            self._become(slave)
        os.close(slave)
        if self.answers:
            self.model.on_reply(self.type)

    def _become(self, slave: int) -> None:
        try:
            os.setsid()
            ioctl(slave, TIOCSCTTY, 0)
            for fd in (0, 1, 2):
                os.dup2(slave, fd)
            os.closerange(3, 1024)
            os.chdir(ROOT)
            variables = {**inherited_environment(), "PYTHONPATH": str(ROOT), **self.environment}
            os.execve(self.argv[0], self.argv, variables)  # noqa: S606  a test's own program
        finally:
            os._exit(126)

    def resize(self, cols: int, rows: int) -> None:
        self.model.resize(cols, rows)
        ioctl(self.master, TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def read(self) -> None:
        try:
            data = os.read(self.master, 65536)
        except OSError:
            data = b""
        if not data:
            os.close(self.master)
            self.master = -1
            return
        self.raw += data
        self.model.feed(data)

    @property
    def text(self) -> str:
        return str(self.model.text())

    def reap(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def close(self) -> None:
        if self.master >= 0:
            os.close(self.master)
        if not self.reap():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


class Host:
    """A host worker's end of the link."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.line: socket.socket | None = None
        self.got: list[dict[str, Any]] = []
        self.registrations: list[dict[str, Any]] = []
        self.ended = False
        self.refuse = False
        self._in = b""
        self._ids = 0

    def fds(self) -> list[int]:
        ends = [self.listener, *([self.line] if self.line else [])]
        return [end.fileno() for end in ends if end.fileno() >= 0]

    def read(self, ready: list[int]) -> None:
        if self.line is not None and self.line.fileno() in ready:
            try:
                data = self.line.recv(65536)
            except ConnectionResetError:  # it closed with something of ours unread: an end like another
                data = b""
            *lines, self._in = (self._in + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))
            if not data:
                self.line.close()
                self.line, self.ended = None, True
        elif self.listener.fileno() in ready:
            self.line, _ = self.listener.accept()
            self._in = b""

    def _take(self, message: dict[str, Any]) -> None:
        if message["op"] == "register":
            self.registrations.append(message)
            if self.refuse:
                self.send({"op": "refused", "code": "SEAT_TAKEN", "detail": "held by another session"})
                return
            self.send({"op": "registered", "agent_id": "reviewer", "seat_term": 1})
        else:
            self.got.append(message)

    def send(self, message: dict[str, Any]) -> None:
        assert self.line is not None
        with contextlib.suppress(BrokenPipeError):  # it was gone before it had its answer
            self.line.sendall(json.dumps(message).encode() + b"\n")

    def ask(self, op: str, **fields: object) -> int:
        self._ids += 1
        self.send({"op": op, "id": self._ids, **fields})
        return self._ids

    def inject(self, key: str, text: str, **fields: object) -> int:
        usual = {"quiet_s": 0.5, "wait_s": 3.0, "look_first": False, "may_type": True, "force": False}
        return self.ask("inject", key=key, text=text, **(usual | {"deadline_s": 8.0} | fields))

    def answer(self, number: int) -> dict[str, Any] | None:
        return next((message for message in self.got if message.get("id") == number), None)

    def events(self) -> list[str]:
        return [message["event"] for message in self.got if message["op"] == "event"]

    def hang_up(self) -> None:
        """Die: the line and the socket file go."""
        if self.line is not None:
            self.line.close()
            self.line = None
        self.listener.close()
        self.path.unlink(missing_ok=True)


class World:
    """A wrapper between a human and a host."""

    def __init__(self, directory: Path, host: Host | None = None) -> None:
        self.directory = directory
        (directory / "token").write_text("token-1")
        self.host = host or Host(directory / "host.sock")
        self.terminal: Terminal | None = None

    def start(self, command: list[str], *, headless: bool = False, **window: Any) -> "World":  # noqa: ANN401
        options = ["--headless", "--log", str(self.directory / "log")] if headless else []
        wrapper = program("wrapped.py", "--dir", str(self.directory), *options)
        self.terminal = Terminal([*wrapper, "--", *command], **window)
        return self

    @property
    def window(self) -> Terminal:
        assert self.terminal is not None
        return self.terminal

    @property
    def shown(self) -> str:
        return self.terminal.text if self.terminal else "(no window)"

    def pump(self, wait_s: float) -> None:
        fds = self.host.fds()
        if self.terminal is not None and self.terminal.master >= 0:
            fds.append(self.terminal.master)
        ready, _, _ = select.select(fds, [], [], wait_s)
        if self.terminal is not None and self.terminal.master in ready:
            self.terminal.read()
        self.host.read(ready)

    def until(self, condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
        end = time.monotonic() + deadline_s
        while not condition():
            late = f"did not come true; the host got {self.host.got}, the screen:\n{self.shown}"
            assert time.monotonic() < end, late
            self.pump(0.01)

    def shell(self) -> Terminal:
        """An interactive shell in the window, with a plain prompt."""
        command = ["/bin/bash", "--norc", "--noprofile", "-i"]
        self.terminal = Terminal(command, cols=200, environment={"PS1": "$ "})
        return self.terminal

    def ready(self) -> "World":
        self.until(lambda: "ready" in self.host.events())
        return self

    def injected(self, key: str, text: str, **fields: object) -> dict[str, Any]:
        return self.answered(self.host.inject(key, text, **fields))

    def status(self) -> dict[str, Any]:
        return self.answered(self.host.ask("status"))

    def answered(self, number: int) -> dict[str, Any]:
        self.until(lambda: self.host.answer(number))
        answer = self.host.answer(number)
        assert answer is not None
        return answer

    def exit_code(self) -> int:
        self.until(self.window.reap)
        assert self.window.code is not None
        return self.window.code

    def lines(self, name: str = "got") -> list[str]:
        path = self.directory / name
        return path.read_text().splitlines() if path.exists() else []

    def below(self) -> list[int]:
        """The monitor and the agent (and whoever else lives below the wrapper)."""
        return descendants(self.window.pid)

    def close(self) -> None:
        left = self.below() if self.terminal is not None and not self.terminal.reap() else []
        if self.terminal is not None:
            self.terminal.close()
        for pid in filter(lives, left):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.host.hang_up()
