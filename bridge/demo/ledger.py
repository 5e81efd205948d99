"""A ledger: what one scripted agent saw and did, on a file that only it writes and the play reads.

It is no part of the bridge: what it says is seen from the other end of the terminal. One JSON object per line; `at` is
the machine's monotonic clock, the same for both.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

POINTER = "Wakebridge: "
"""How the line begins that a wake types."""

Entry = dict[str, Any]


class Pen:
    """Writes a ledger, one whole line at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, did: str, **facts: object) -> None:
        """Write one entry."""
        with self._path.open("a") as file:
            file.write(json.dumps({"at": time.monotonic(), "did": did} | facts) + "\n")


class Ledger:
    """Reads a ledger that may still grow."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def entries(self, did: str | None = None, since: float = 0.0) -> list[Entry]:
        """Its entries of a kind, since a moment of the monotonic clock."""
        if not self._path.exists():
            return []
        # A line that is still being written has no end yet, and waits for the next look.
        whole = self._path.read_text().rpartition("\n")[0].splitlines()
        found: list[Entry] = [json.loads(line) for line in whole]
        return [entry for entry in found if entry["at"] >= since and did in (None, entry["did"])]

    def first(self, did: str, since: float = 0.0, **facts: object) -> Callable[[], Entry | None]:
        """A question that can be asked again: the first entry of a kind with these facts, since a moment."""

        def ask() -> Entry | None:
            return next(
                (e for e in self.entries(did, since) if all(e.get(k) == v for k, v in facts.items())), None
            )

        return ask

    def woken(self, since: float = 0.0) -> list[Entry]:
        """The lines that wakes typed."""
        return [entry for entry in self.entries("saw", since) if str(entry["line"]).startswith(POINTER)]
