"""What may be archived: threads that are over, whose last change is old enough, and on which nobody waits.

The default is to keep everything for ever: nothing here happens unless somebody at the console asks for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from bridge.core.states import ThreadStatus


@dataclass(frozen=True, slots=True)
class Standing:
    """How a thread stands, as far as archiving it is concerned."""

    status: ThreadStatus
    updated_at: datetime
    open_wakes: int
    open_tries: int
    open_runs: int
    open_notices: int


def kept_because(standing: Standing, before: datetime) -> str | None:
    """Why a thread stays where it is; None: it may be archived, with all that belongs to it."""
    stays = {
        "it is not closed": standing.status is not ThreadStatus.CLOSED,
        "it changed since": standing.updated_at >= before,
        "a wake is open": standing.open_wakes > 0,
        "a try is open": standing.open_tries > 0,
        "a run goes on": standing.open_runs > 0,
        "a notice that names it is not acknowledged": standing.open_notices > 0,
    }
    return next((why for why, holds in stays.items() if holds), None)


@dataclass(frozen=True, slots=True)
class Line:
    """One row of an archived thread: its table, and the row as the database wrote it."""

    table: str
    row: str


class BlockDigest:
    """The SHA-256 over a thread's rows in their order, and how much they are."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.rows = 0
        self.size_bytes = 0

    def add(self, line: Line) -> None:
        """The next row."""
        said = f"{line.table}\x1f{line.row}\n".encode()
        self._hash.update(said)
        self.rows += 1
        self.size_bytes += len(said)

    def through(self, lines: Iterable[Line]) -> Iterator[Line]:
        """The same rows, each added as it passes."""
        for line in lines:
            self.add(line)
            yield line

    def hex(self) -> str:
        """Of the rows so far."""
        return self._hash.hexdigest()


def digest_of(lines: Iterable[Line]) -> BlockDigest:
    """The digest of these rows."""
    digest = BlockDigest()
    for line in lines:
        digest.add(line)
    return digest


@dataclass(frozen=True, slots=True)
class Part:
    """One table of a backup."""

    table: str
    columns: tuple[str, ...]
    rows: int
    size_bytes: int
    sha256: str
