"""A terminal that a person sits at: a pty with a program in it, a screen that is read, keys that are typed.

Rules of this file:

- The far end is a real emulator: it answers what programs ask of a terminal, as the person's own would. Nothing of
  it is shared with the code that is looked at.
- Whatever is written goes to the program as keys; nothing here knows what the program is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyghostty

COLS, ROWS = 110, 34
POLL_S = 0.03
END_S = 10.0


class Terminal:
    """One program in one pty, and what its screen shows. Thread-safe."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], cwd: str) -> None:
        self._model: Any = pyghostty.Terminal(cols=COLS, rows=ROWS, scrollback=0)
        self._lock = threading.Lock()
        self._heard: list[Callable[[bytes], None]] = []
        self._fd, far = os.openpty()
        self.resize(COLS, ROWS)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv], stdin=far, stdout=far, stderr=far, env=dict(environment), cwd=cwd
        )
        os.close(far)
        self._model.on_reply(self.send)
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()

    def send(self, data: bytes) -> None:
        """Keys, as the terminal sends them."""
        with contextlib.suppress(OSError):
            os.write(self._fd, data)

    def resize(self, cols: int, rows: int) -> None:
        """The window takes another size."""
        with self._lock:
            self._model.resize(cols, rows)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def text(self) -> str:
        """What the screen shows."""
        with self._lock:
            return str(self._model.text())

    def mode(self, number: int) -> bool:
        """Whether a private mode is set."""
        with self._lock:
            return bool(self._model.mode(number))

    def on_output(self, heard: Callable[[bytes], None]) -> None:
        """Tell of each piece of output, in the reader's thread."""
        self._heard.append(heard)

    def until(self, shown: Callable[[str], bool], timeout_s: float) -> bool:
        """Look until the screen shows it; whether it did in time."""
        ends = time.monotonic() + timeout_s
        while not shown(self.text()):
            if time.monotonic() > ends or not self.alive:
                return False
            time.sleep(POLL_S)  # the pace of looking
        return True

    @property
    def alive(self) -> bool:
        """Whether its program still runs."""
        return self.process.poll() is None

    def close(self) -> None:
        """Close the window: its program is hung up on."""
        if self.alive:
            self.process.send_signal(signal.SIGHUP)
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(END_S)
        self._reader.join(END_S)
        os.close(self._fd)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._fd, 65536)
            except OSError:
                return
            if not data:
                return
            with self._lock:
                self._model.feed(data)
            for heard in self._heard:
                heard(data)
