"""The agent's process, as the monitor tells of it.

Rules of this file:
- What the monitor has not said is not known: no process is looked up by other means.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Final

READ_BYTES: Final = 65_536


class Agent:
    """`status` is its exit code once it has ended; `stopped`: it waits for SIGCONT."""

    def __init__(self) -> None:
        """Begin with nothing heard."""
        self.pid = 0
        self.stopped = False
        self.status: int | None = None
        self._words = b""

    def hear(self, events: int) -> Iterator[None]:
        """Take what the monitor says; yields in the moment in which the agent has stopped."""
        data = os.read(events, READ_BYTES)
        if not data:
            # The monitor was killed; the kernel has hung up on the agent.
            self.status = 128 + signal.SIGKILL
        *words, self._words = (self._words + data).split(b"\n")
        for word in words:
            if word[:1] == b"P":
                self.pid = int(word[1:])
            elif word[:1] == b"C":
                self.stopped = False
            elif word[:1] == b"S":
                self.stopped = True
                yield
            elif word[:1] == b"X":
                self.status = int(word[1:])

    def forward(self, number: int) -> None:
        """Pass a signal on to its process group, and see that it hears it."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
                os.killpg(self.pid, signal.SIGCONT)
