"""The program's own record of its session, followed from where it ended when we found it.

Rules of this file:
- Only what is appended counts: the same line may have woken this session before.
- A line is a prompt when the preset's form says so, from its first letter on. What an agent or a message says stands
  inside of JSON strings there, where no form of a whole line matches.
- Read in bounded pieces, never waited for.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

READ_BYTES_MAX: Final = 1_048_576
LINE_BYTES_MAX: Final = 4_194_304


class Record:
    """One record file; `prompts` gives what has come."""

    def __init__(self, path: Path, turn: str, *, whole: bool = False) -> None:
        """Begin at its end; `whole`: at its beginning, for one that did not exist before. Raises OSError."""
        self.path = path
        self._turn = re.compile(turn)
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        self._at = 0 if whole else os.fstat(self._fd).st_size
        self._tail = b""

    def close(self) -> None:
        """Let go of it."""
        os.close(self._fd)

    def prompts(self) -> list[str]:
        """The texts of the prompts that were taken since the last time, and each line of them."""
        try:
            if (size := os.fstat(self._fd).st_size) < self._at:  # written anew, and shorter
                self._at, self._tail = size, b""
            data = os.pread(self._fd, READ_BYTES_MAX, self._at)
        except OSError:
            return []
        self._at += len(data)
        *lines, self._tail = (self._tail + data).split(b"\n")
        if len(self._tail) > LINE_BYTES_MAX:
            self._tail = b""
        found: list[str] = []
        for line in lines:
            said = line.decode(errors="replace")
            if self._turn.search(said):
                found += texts_of(said)
        return found


def texts_of(line: str) -> list[str]:
    """Every text in a line of JSON, and each of its lines; nothing for what is no JSON."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return []
    texts = list(_texts(value))
    return texts + [part for text in texts if "\n" in text for part in text.splitlines()]


def _texts(value: object) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
