"""A terminal window of the suite's: a real pty with somebody at its keys, and a program that leads a session in it."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import threading
from collections.abc import Mapping, Sequence
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ
from typing import Final

from bridge.conformance.nursery import Child

CURSOR_ASKED: Final = b"\x1b[6n"
CURSOR_ANSWER: Final = b"\x1b[1;1R"
SHOWN_BYTES_MAX: Final = 256 * 1024
END_S: Final = 2.0


class Window:
    """The program is told the terminal's name and makes it its own; the window reads what it shows."""

    def __init__(self, cols: int, rows: int) -> None:
        self._master, self._slave = os.openpty()
        self.name = os.ttyname(self._slave)
        self._shown = bytearray()
        self._process: subprocess.Popen[bytes] | Child | None = None
        self._reader = threading.Thread(target=self._read, name="window", daemon=True)
        self.resize(cols, rows)
        self._reader.start()

    def start(self, command: Sequence[str], *, environment: Mapping[str, str], cwd: Path) -> None:
        """Start the program; it leads a session of its own and opens the terminal by its name."""
        self._process = subprocess.Popen(  # noqa: S603  the suite's own command
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
        )

    def hold(self, child: Child) -> None:
        """Be the window of somebody who opens it by its name himself."""
        self._process = child

    def type(self, data: bytes) -> None:
        """Press keys."""
        os.write(self._master, data)

    def resize(self, cols: int, rows: int) -> None:
        """Drag the window's corner."""
        ioctl(self._master, TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    @property
    def shown(self) -> bytes:
        """What was written to it lately."""
        return bytes(self._shown)

    def ended(self) -> bool:
        """Whether the program is gone."""
        return self._process is None or self._process.poll() is not None

    def close(self) -> None:
        """Close the window: whoever is in it is hung up on, and killed when he stays."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(END_S)
        os.close(self._slave)
        self._slave = -1
        self._reader.join(END_S)
        with contextlib.suppress(OSError):
            os.close(self._master)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return
            if not data:
                return
            if CURSOR_ASKED in data:
                with contextlib.suppress(OSError):
                    os.write(self._master, CURSOR_ANSWER)
            self._shown += data
            del self._shown[:-SHOWN_BYTES_MAX]
