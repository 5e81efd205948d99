"""One run as the worker holds it: its shim, the line to it, and what is still to be told of it.

Rules of this file:

- The reader's thread alone touches `link`, `inbox` and `seen`; all else is touched under the book's lock.
- What waits to be sent is bounded: an order, and a few short lines after it.
"""

from __future__ import annotations

import json
import math
import socket
import subprocess
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.adapters.presets.command import CommandData
from bridge.adapters.runtimes.command_spec import Place
from bridge.adapters.runtimes.descent import Process
from bridge.adapters.runtimes.shim_agent import Order
from bridge.ports.runs import RunSpec

OUT_BYTES_MAX: Final = 2 * 1024 * 1024
LINE_BYTES_MAX: Final = 64 * 1024

Telling = Callable[[], None]


@dataclass(eq=False, slots=True)
class Held:
    """A run from its start until its end was taken."""

    spec: RunSpec
    place: Place
    order: Order
    command: CommandData
    overdue_at: float  # its shim should have ended it long ago
    shim: subprocess.Popen[bytes] | None = None
    link: socket.socket | None = None
    listening: bool = False
    inbox: bytearray = field(default_factory=bytearray)
    out: bytearray = field(default_factory=bytearray)
    renewed_at: float = -math.inf  # the renewal that its shim knows of
    asked: str = ""  # why it was asked to end
    started: bool = False
    proved: bool = False
    hung_up_at: float | None = None  # the line is dead since
    last_word: tuple[int | None, str, str] | None = None
    seen: list[Process] = field(default_factory=list)
    clean_looks: int = 0
    over: bool = False  # nothing of it lives
    taken: bool = False  # and the watcher knows
    tellings: deque[Telling] = field(default_factory=deque)
    tell_at: float = 0.0
    untold: int = 0  # how often the next telling was not taken
    token_at: float = math.inf  # when a new token is due

    def put(self, line: dict[str, Any]) -> None:
        """Queue a line for the shim; one that does not fit is left out: its shim is stuck, and overdue."""
        if len(self.out) < OUT_BYTES_MAX:
            self.out += json.dumps(line).encode() + b"\n"

    def first_line(self) -> bytes:
        """The order, which goes before anything else that may wait already."""
        return json.dumps(self.order).encode() + b"\n"

    def lines(self, data: bytes) -> list[dict[str, Any]]:
        """The whole lines that have come in. Raises ValueError for what no shim of ours says."""
        self.inbox += data
        *lines, rest = self.inbox.split(b"\n")
        self.inbox = bytearray(rest)
        if len(rest) > LINE_BYTES_MAX:
            message = "a line without an end"
            raise ValueError(message)
        return [json.loads(line) for line in lines]
