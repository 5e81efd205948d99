"""The monitor: a small process between the wrapper and the agent.

Rules of this file:
- It leads the agent's terminal session, so that the agent's process group is not orphaned: the kernel drops
  the Ctrl-Z of an orphaned group. The agent runs in a group of its own, in the foreground.
- It tells the wrapper through a pipe what it sees: `P<pid>`, `S<signal>`, `C`, `X<code>`, one a line.
- When the wrapper is gone without a word the kernel hangs up on both of us. Then the monitor gives the
  user's terminal back, removes the token file, and sees to it that the agent does not live on.
- Between fork and exec nothing is done here that could wait for a lock: the wrapper forks before it starts
  a thread.
"""

import contextlib
import fcntl
import mmap
import os
import resource
import signal
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

HANGUP_GRACE_S: Final = 5
NO_SUCH_COMMAND: Final = 127
NOT_EXECUTABLE: Final = 126
_LENGTH_BYTES: Final = 2
_SIGNALS_TO_DEFAULT: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGWINCH,
    signal.SIGALRM,
)


class LastWords:
    """The bytes that would give the user's terminal back at this moment, where both processes see them."""

    def __init__(self) -> None:
        """Begin with nothing to undo."""
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def set(self, resets: bytes | None) -> None:
        """Keep the resets; None: the terminal is not ours now, leave it alone."""
        held = b"" if resets is None else b"!" + resets
        self._memory[_LENGTH_BYTES : _LENGTH_BYTES + len(held)] = held
        self._memory[:_LENGTH_BYTES] = len(held).to_bytes(_LENGTH_BYTES, "big")

    def get(self) -> bytes | None:
        """Read the resets, or None."""
        length = int.from_bytes(self._memory[:_LENGTH_BYTES], "big")
        held = self._memory[_LENGTH_BYTES : _LENGTH_BYTES + length]
        return held[1:] if held else None


@dataclass(frozen=True, slots=True)
class Terminal:
    """What the monitor needs to give the user's terminal back: a descriptor, its modes, the resets."""

    fd: int
    modes: list[Any]
    last_words: LastWords


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run and what is to be cleared away."""

    command: Sequence[str]
    environment: Mapping[str, str | None]
    token_file: Path
    terminal: Terminal | None


@dataclass(frozen=True, slots=True)
class Started:
    """A running monitor, seen from the wrapper."""

    pid: int
    events: int


def start(plan: Plan, slave: int) -> Started:
    """Fork the monitor, which starts the agent on `slave`; return its pid and the pipe of its reports."""
    events, report = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(report, True)
    wrapper = os.getpid()
    pid = os.fork()
    if pid == 0:
        _monitor(plan, slave, report, wrapper)
    os.close(report)
    return Started(pid, events)


def _monitor(plan: Plan, slave: int, report: int, wrapper: int) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for number in (
            signal.SIGINT,
            signal.SIGQUIT,
            signal.SIGTERM,
            signal.SIGTSTP,
            signal.SIGTTIN,
            signal.SIGTTOU,
        ):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGWINCH, signal.SIG_DFL)
        keep = {slave, report} | ({plan.terminal.fd} if plan.terminal else set())
        _only_open(keep)
        child = _agent(plan, slave)
        _watch(plan, child, slave, report, wrapper)
    finally:
        os._exit(1)


def _only_open(keep: set[int]) -> None:
    # The copies of the master and of the user's stdout must go: they would hide our own death from the
    # others.
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    low = 3
    for fd in sorted(keep):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 65_536))


def _agent(plan: Plan, slave: int) -> int:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return pid
    try:
        os.setpgid(0, 0)
        os.tcsetpgrp(slave, os.getpid())
        for fd in (0, 1, 2):
            os.dup2(slave, fd)
        for number in _SIGNALS_TO_DEFAULT:
            signal.signal(number, signal.SIG_DFL)
        execute(plan.command, plan.environment)
    finally:
        os._exit(NOT_EXECUTABLE)


def execute(command: Sequence[str], environment: Mapping[str, str | None]) -> NoReturn:
    """Become the command, in our own environment with some variables set or (None) taken away."""
    for name, value in environment.items():
        os.unsetenv(name) if value is None else os.putenv(name, value)
    try:
        os.execvp(command[0], list(command))  # noqa: S606  the human's own command, never a shell line
    except FileNotFoundError:
        os.write(2, f"bridge: no such command: {command[0]}\n".encode())
        os._exit(NO_SUCH_COMMAND)
    except OSError as error:
        os.write(2, f"bridge: cannot run {command[0]}: {error.strerror}\n".encode())
        os._exit(NOT_EXECUTABLE)


def _watch(plan: Plan, child: int, slave: int, report: int, wrapper: int) -> NoReturn:
    def hung_up(_number: int, _frame: object) -> None:
        _give_back(plan.terminal)
        plan.token_file.unlink(missing_ok=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGHUP)
            os.killpg(child, signal.SIGCONT)
        signal.alarm(HANGUP_GRACE_S)

    def too_long(_number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, too_long)
    signal.signal(signal.SIGHUP, hung_up)
    if os.getppid() != wrapper:
        os.kill(os.getpid(), signal.SIGHUP)
    _say(report, f"P{child}")
    while True:
        _, status = os.waitpid(child, os.WUNTRACED | os.WCONTINUED)
        if os.WIFSTOPPED(status):
            _say(report, f"S{os.WSTOPSIG(status)}")
        elif os.WIFCONTINUED(status):
            _say(report, "C")
        else:
            break
    code = os.waitstatus_to_exitcode(status)
    # Whoever the agent left in the background must not be hung up on because we go.
    with contextlib.suppress(OSError):
        os.tcsetpgrp(slave, os.getpgrp())
    _say(report, f"X{code if code >= 0 else 128 - code}")
    os._exit(0)


def _say(report: int, word: str) -> None:
    with contextlib.suppress(OSError):
        os.write(report, word.encode() + b"\n")


def _give_back(terminal: Terminal | None) -> None:
    resets = None if terminal is None else terminal.last_words.get()
    if terminal is None or resets is None:
        return
    terminal.last_words.set(None)
    with contextlib.suppress(OSError):
        os.write(terminal.fd, resets)
    with contextlib.suppress(termios.error):
        termios.tcsetattr(terminal.fd, termios.TCSANOW, terminal.modes)
