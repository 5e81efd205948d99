"""An archive of threads: gzip of JSON lines, complete or not there, checked against its own digests.

    {"archive":{"format":1,"workspace_id":...,"revision":...,"written_at":...,"before":...,"by":...}}
    {"thread":{"thread_id":...}}                      one block a thread
    {"messages":{...}}                                one line a row, as the database wrote it
    {"end":{"thread_id":...,"rows":...,"sha256":...}}
    {"total":{"threads":...,"rows":...,"sha256":...}} over every byte before

Written under another name with mode 0600, flushed to the disk and renamed. One hand at a time writes into a folder.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from bridge.adapters.durable import give_name, settle
from bridge.core.errors import Conflict, InvalidArgument, NotFound
from bridge.core.retention import BlockDigest, Line

FORMAT = 1
UNFINISHED = ".partial"
LINE_BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Block:
    """One thread of an archive."""

    thread_id: str
    rows: int
    size_bytes: int
    sha256: str


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """The folder is made, and this process's alone to write into. Raises Conflict. What was left unfinished goes."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"another retention run writes into {folder}: wait for its end") from error
        for left in folder.glob(f"wakebridge-*.jsonl.gz{UNFINISHED}"):
            left.unlink()
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ArchiveWriter:
    """Writes an archive; nothing has its name before `finish`."""

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        if path.exists():
            raise Conflict(f"{path} is there already: run again")
        self.path = path
        self._unfinished = path.with_name(path.name + UNFINISHED)
        descriptor = os.open(self._unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._gzip = gzip.GzipFile(filename="", fileobj=self._file, mode="wb", compresslevel=6, mtime=0)
        self._hash = hashlib.sha256()
        self._threads = self._rows = 0
        self._say("archive", {"format": FORMAT, **header})

    def add(self, thread_id: str, lines: Iterable[Line]) -> Block:
        """Write one thread."""
        digest = BlockDigest()
        self._say("thread", {"thread_id": thread_id})
        for line in digest.through(lines):
            self._write(f'{{"{line.table}":{line.row}}}\n')
        block = Block(thread_id, digest.rows, digest.size_bytes, digest.hex())
        self._say("end", {"thread_id": thread_id, "rows": block.rows, "sha256": block.sha256})
        self._threads += 1
        self._rows += block.rows
        return block

    def finish(self) -> None:
        """It is complete, on the disk, and has its name."""
        self._say("total", {"threads": self._threads, "rows": self._rows, "sha256": self._hash.hexdigest()})
        self._gzip.close()
        settle(self._file)
        give_name(self._unfinished, self.path)

    def drop(self) -> None:
        """What is not finished goes."""
        self._file.close()
        self._unfinished.unlink(missing_ok=True)

    def _say(self, what: str, facts: Mapping[str, Any]) -> None:
        self._write(json.dumps({what: facts}, separators=(",", ":")) + "\n")

    def _write(self, line: str) -> None:
        data = line.encode()
        self._hash.update(data)
        self._gzip.write(data)


class ArchiveReader:
    """Reads an archive. Whatever is wrong with it is an InvalidArgument that says what."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def sha256(self) -> str:
        """Of the file as it is on the disk."""
        with self._opened() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def header(self) -> dict[str, Any]:
        """Who wrote it, when, of which workspace, at which revision."""
        what, said, _ = next(self._lines(), ("", "", b""))
        facts = self._facts(said) if what == "archive" else {}
        if facts.get("format") != FORMAT:
            raise InvalidArgument(f"{self.path} is no archive that this Wakebridge can read")
        return facts

    def check(self) -> list[Block]:
        """Read all of it: the threads in it, when every count and digest is what the file says."""
        self.header()
        whole, found, digest, thread_id = hashlib.sha256(), list[Block](), BlockDigest(), ""
        complete = False
        for what, said, line in self._lines():
            self._insist(not complete, "something follows its end")
            if what == "total":
                rows = sum(block.rows for block in found)
                said_so = {"threads": len(found), "rows": rows, "sha256": whole.hexdigest()}
                self._insist(self._facts(said) == said_so, "its counts or its digest are wrong")
                complete = True
            elif what == "thread":
                digest, thread_id = BlockDigest(), self._facts(said)["thread_id"]
            elif what == "end":
                block = Block(thread_id, digest.rows, digest.size_bytes, digest.hex())
                said_so = {"thread_id": thread_id, "rows": block.rows, "sha256": block.sha256}
                self._insist(self._facts(said) == said_so, f"the rows of {thread_id} are not what they were")
                found.append(block)
            elif what != "archive":
                digest.add(Line(what, said))
            whole.update(line)
        self._insist(complete, "its end is missing")
        return found

    def blocks(self) -> Iterator[tuple[str, Iterator[Line]]]:
        """The threads of a file that was checked; each one's lines are to be read before the next."""
        lines = self._lines()
        for what, said, _ in lines:
            if what == "thread":
                block = _until_end(lines)
                yield self._facts(said)["thread_id"], block
                for _ in block:
                    pass

    def _lines(self) -> Iterator[tuple[str, str, bytes]]:
        """Every line: what it is, what it says, its bytes."""
        try:
            with self._opened() as file, gzip.GzipFile(fileobj=file) as unpacked:
                while line := unpacked.readline(LINE_BYTES_MAX):
                    what, mark, said = line.decode().rstrip("\n").removeprefix('{"').partition('":')
                    self._insist(bool(mark) and said.endswith("}"), "a line is none of an archive")
                    yield what, said[:-1], line
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise InvalidArgument(f"{self.path} is damaged, or no archive: {error}") from error

    def _facts(self, said: str) -> dict[str, Any]:
        try:
            return dict(json.loads(said))
        except (ValueError, TypeError) as error:
            raise InvalidArgument(f"{self.path} is damaged: a line is none of an archive") from error

    def _opened(self) -> BufferedReader:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise NotFound(f"{self.path} cannot be read: {error.strerror}") from error

    def _insist(self, holds: bool, wrong: str) -> None:  # noqa: FBT001  it reads as a sentence
        if not holds:
            raise InvalidArgument(f"{self.path} is damaged: {wrong}")


def _until_end(lines: Iterator[tuple[str, str, bytes]]) -> Iterator[Line]:
    for what, said, _ in lines:
        if what == "end":
            return
        yield Line(what, said)
