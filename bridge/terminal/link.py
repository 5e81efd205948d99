"""The line to the host worker: dial, register, keep open, dial again.

Rules of this file:
- One JSON object a line, at most 64 KiB, both ways. The socket never blocks and never raises at its caller:
  a lost line is a state, and the next dial is a time.
- Registering is the first line of every connection, with the token of that moment.
- It carries messages and understands only `registered` and `refused`.
"""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

Message = dict[str, object]

LINE_BYTES_MAX: Final = 65_536
BACKOFF_S_MIN: Final = 0.1
BACKOFF_S_MAX: Final = 2.0
OUT_BYTES_MAX: Final = 1_048_576
DIALS_TO_COMPLAIN: Final = 3


class Link:
    """One end of the line: `tick` when `due_at` has come, `receive` when readable, `flush` when writable."""

    def __init__(self, path: Path, hello: Callable[[], Message]) -> None:
        """Remember where to dial and what to say first."""
        self._path = path
        self._hello = hello
        self._socket: socket.socket | None = None
        self._in = b""
        self._out = b""
        self._backoff_s = BACKOFF_S_MIN
        self._closed = False
        self.due_at: float | None = 0.0
        self.registered = False
        self.refusal: str | None = None
        self._failed_dials = 0

    @property
    def trouble(self) -> str | None:
        """What the human should know in the end: why nobody could wake this session."""
        if self.refusal is not None:
            return f"the host worker refused this session: {self.refusal}"
        if self._failed_dials >= DIALS_TO_COMPLAIN:
            return f"no host worker answered at {self._path}: nobody could wake this session"
        return None

    def fileno(self) -> int | None:
        """The descriptor to wait for, if there is a connection."""
        return None if self._socket is None else self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether something waits to be sent."""
        return self._socket is not None and bool(self._out)

    def tick(self, now: float) -> None:
        """Dial, if it is time to."""
        if self._socket is not None or self._closed or self.due_at is None or now < self.due_at:
            return
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            line.connect(str(self._path))
        except OSError:
            line.close()
            self._failed_dials += 1
            self._lose(now)
            return
        self._socket, self.due_at = line, None
        self._in = self._out = b""
        self._send(self._hello(), now)

    def receive(self, now: float) -> list[Message]:
        """Read what has come; return the messages that are for the caller."""
        if self._socket is None:
            return []
        try:
            data = self._socket.recv(LINE_BYTES_MAX)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        *lines, self._in = (self._in + data).split(b"\n")
        messages = [message for line in lines if (message := self._parsed(line, now)) is not None]
        if not data or len(self._in) > LINE_BYTES_MAX:
            self._lose(now)
        return messages

    def send(self, message: Message, now: float) -> bool:
        """Send to a host that has registered us; return whether there was one."""
        if not self.registered:
            return False
        self._send(message, now)
        return self._socket is not None

    def flush(self, now: float) -> None:
        """Write what the socket takes."""
        if self._socket is None or not self._out:
            return
        try:
            self._out = self._out[self._socket.send(self._out) :]
        except BlockingIOError:
            pass
        except OSError:
            self._lose(now)
        if len(self._out) > OUT_BYTES_MAX:
            self._lose(now)

    def close(self) -> None:
        """Hang up for good."""
        self._closed, self.due_at, self.registered = True, None, False
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: Message, now: float) -> None:
        self._out += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        self.flush(now)

    def _parsed(self, line: bytes, now: float) -> Message | None:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self._lose(now)
            return None
        if message.get("op") == "registered":
            self.registered, self.refusal, self._backoff_s = True, None, BACKOFF_S_MIN
            self._failed_dials = 0
            return None
        if message.get("op") == "refused":
            self.refusal = f"{message.get('code', 'REFUSED')}: {message.get('detail', '')}"
            self._backoff_s = BACKOFF_S_MAX
            self._lose(now)
            return None
        return message if self.registered else None

    def _lose(self, now: float) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.registered = False
        self._in = self._out = b""
        self.due_at = now + self._backoff_s
        self._backoff_s = min(self._backoff_s * 2, BACKOFF_S_MAX)
