"""A backup: a zip with one member a table (COPY's text), and `manifest.json` that says what must be in them.

Complete or not there: written under another name with mode 0600, flushed, read back, and then renamed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bridge.adapters.durable import give_name, settle
from bridge.core.errors import Conflict, InvalidArgument, NotFound
from bridge.core.retention import Part

FORMAT = 1
MANIFEST = "manifest.json"
UNFINISHED = ".partial"
CHUNK_BYTES = 1024 * 1024


class BackupWriter:
    """Writes a backup; nothing has its name before `finish`."""

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise Conflict(f"{path} is there already: name another file")
        self.path = path
        self._unfinished = path.with_name(path.name + UNFINISHED)
        try:
            descriptor = os.open(self._unfinished, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"another backup writes {path} just now") from error
        except OSError as error:
            raise NotFound(f"{self._unfinished} cannot be written: {error.strerror}") from error
        os.ftruncate(descriptor, 0)  # what a backup that was killed left behind
        self._file = os.fdopen(descriptor, "w+b")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        self._parts: list[Part] = []

    def add(self, table: str, columns: tuple[str, ...], chunks: Iterable[bytes]) -> Part:
        """Write one table."""
        digest, rows, size_bytes = hashlib.sha256(), 0, 0
        with self._zip.open(_member(table), "w", force_zip64=True) as member:
            for chunk in chunks:
                member.write(chunk)
                digest.update(chunk)
                rows += chunk.count(b"\n")  # a newline inside a value is written as \n
                size_bytes += len(chunk)
        part = Part(table, columns, rows, size_bytes, digest.hexdigest())
        self._parts.append(part)
        return part

    def finish(self, facts: Mapping[str, Any]) -> None:
        """It is complete, on the disk, is what was written, and has its name."""
        parts = [asdict(part) for part in self._parts]
        self._zip.writestr(MANIFEST, json.dumps({"format": FORMAT, **facts, "parts": parts}, indent=1))
        self._zip.close()
        settle(self._file)
        BackupReader(self._unfinished).check()
        give_name(self._unfinished, self.path)

    def drop(self) -> None:
        """What is not finished goes."""
        self._file.close()
        self._unfinished.unlink(missing_ok=True)


class BackupReader:
    """Reads a backup. Whatever is wrong with it is an InvalidArgument that says what."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts, self.parts = self._manifest()

    def check(self, tell: Callable[[int], None] = lambda _: None) -> None:
        """Read all of it: every table has as many rows as the manifest says, and its digest."""
        for part in self.parts:
            digest, rows = hashlib.sha256(), 0
            for chunk in self.chunks(part):
                digest.update(chunk)
                rows += chunk.count(b"\n")
                tell(len(chunk))
            if (digest.hexdigest(), rows) != (part.sha256, part.rows):
                raise InvalidArgument(f"{self.path} is damaged: {part.table} is not what was written")

    def chunks(self, part: Part) -> Iterator[bytes]:
        """The table's rows."""
        try:
            with zipfile.ZipFile(self.path) as opened, opened.open(_member(part.table)) as member:
                while chunk := member.read(CHUNK_BYTES):
                    yield chunk
        except (zipfile.BadZipFile, KeyError, EOFError, zlib.error, OSError) as error:
            raise InvalidArgument(f"{self.path} is damaged: {part.table} cannot be read") from error

    def sha256(self) -> str:
        """Of the file as it is on the disk."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _manifest(self) -> tuple[dict[str, Any], list[Part]]:
        try:
            with zipfile.ZipFile(self.path) as opened:
                facts = dict(json.loads(opened.read(MANIFEST)))
            parts = [Part(**part | {"columns": tuple(part["columns"])}) for part in facts.pop("parts")]
        except FileNotFoundError as error:
            raise NotFound(f"there is no {self.path}") from error
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError, zlib.error, OSError) as error:
            raise InvalidArgument(f"{self.path} is no backup of Wakebridge, or damaged") from error
        if facts.pop("format", None) != FORMAT:
            raise InvalidArgument(f"{self.path} was written by a newer Wakebridge: restore it with that one")
        return facts, parts


def _member(table: str) -> str:
    return f"tables/{table}.copy"
