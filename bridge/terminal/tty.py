"""The user's own terminal: raw, and given back as it was.

Rules of this file:
- Output goes through a descriptor of our own: O_NONBLOCK belongs to the open file, and the shell shares its.
- `raw` and `give_back` may be called again and again; giving back always wins.
"""

import fcntl
import os
import re
import select
import struct
import termios
import time
import tty
from typing import Any, Final

CURSOR_ANSWER_S_MAX: Final = 0.2
FLUSH_S_MAX: Final = 1.0
_CURSOR_REPORT: Final = re.compile(rb"\x1b\[(\d+);(\d+)R")


def window_size(fd: int) -> tuple[int, int]:
    """Read columns and rows of a terminal; 80 x 24 where it does not know."""
    packed = fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8)
    rows, cols, _, _ = struct.unpack("HHHH", packed)
    return cols or 80, rows or 24


def set_window_size(fd: int, cols: int, rows: int) -> None:
    """Set columns and rows; the kernel tells the foreground program."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def is_canonical(master: int) -> bool:
    """Whether the kernel gathers lines for the program behind this master."""
    return bool(termios.tcgetattr(master)[3] & termios.ICANON)


def is_hidden(master: int) -> bool:
    """Whether the kernel gathers a line without showing it: a password is being asked for."""
    flags = termios.tcgetattr(master)[3]
    return bool(flags & termios.ICANON) and not flags & termios.ECHO


class UserTerminal:
    """Where the human sits."""

    def __init__(self, stdin: int, stdout: int) -> None:
        """Open a descriptor of our own on the terminal and remember its modes."""
        self.stdin = stdin
        self.out = os.open(os.ttyname(stdout), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.modes: list[Any] = termios.tcgetattr(stdin)

    def raw(self) -> None:
        """Let every key come to us as it is typed."""
        tty.setraw(self.stdin, termios.TCSADRAIN)

    def give_back(self, resets: bytes) -> None:
        """Undo what the agent and we have set."""
        self.write_now(resets)
        termios.tcsetattr(self.stdin, termios.TCSADRAIN, self.modes)

    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return window_size(self.stdin)

    def write(self, data: bytes) -> int:
        """Write what the terminal takes; return how much."""
        try:
            return os.write(self.out, data)
        except BlockingIOError:
            return 0

    def write_now(self, data: bytes) -> None:
        """Write all of it, but wait no longer than a second for a terminal that takes nothing."""
        until = time.monotonic() + FLUSH_S_MAX
        while data and (left_s := until - time.monotonic()) > 0:
            select.select([], [self.out], [], left_s)
            data = data[self.write(data) :]

    def ask_cursor(self) -> tuple[bytes, tuple[int, int] | None]:
        """Ask where the cursor is; return what was typed meanwhile, and (from 1) column and row."""
        self.write_now(b"\x1b[6n")
        got = b""
        until = time.monotonic() + CURSOR_ANSWER_S_MAX
        while (left_s := until - time.monotonic()) > 0:
            if not select.select([self.stdin], [], [], left_s)[0]:
                break
            data = os.read(self.stdin, 4096)
            got += data
            report = _CURSOR_REPORT.search(got)
            if report is not None:
                return got[: report.start()] + got[report.end() :], (int(report[2]), int(report[1]))
            if not data:
                break
        return got, None


def pasted(text: str, *, bracketed: bool) -> bytes:
    """A text as a terminal pastes it, where the program has switched bracketed paste on; else as it is typed."""
    return b"\x1b[200~" + text.encode() + b"\x1b[201~" if bracketed and text else text.encode()
