"""`bridge backup` and `bridge restore`: the whole database in one file, and back. At the console only.

Rules of this file:

- A backup is taken while the stack runs, or while it does not; a restore only while nothing works on the database.
- It holds what was acknowledged, and no key: whoever has the file can read everything, and sign nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.adapters.backup_file import BackupReader, BackupWriter
from bridge.bootstrap import BackupDatabase, backup_database
from bridge.cli.connection import AsJson, Data, show
from bridge.cli.direct import console_of, stack_settings
from bridge.cli.progress import progress
from bridge.commands.note_backup import note_backup
from bridge.config import Settings, load_settings
from bridge.core.errors import Conflict, NotFound
from bridge.core.retention import Part
from bridge.stack.servers import postgres_alone

WRONG_SHOWN = 5


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not be there yet.")],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Write the whole database into one file, as it is at one moment, while the stack goes on."""
    with _to_read(data) as settings:
        database = backup_database(settings)
        database.check_revision()
        writer = BackupWriter(file)
        try:
            facts = _write(database, writer)
        finally:
            writer.drop()
        answer = {"file": str(file), "sha256": BackupReader(file).sha256(), **facts}
        _note(settings, "taken", facts["workspaces"], answer)
    words = f"{facts['rows']} rows as of {facts['at']} are in {file}\nsha256  {answer['sha256']}"
    show(answer, as_json=as_json, text=words)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `bridge backup` wrote.")],
    replace: Annotated[
        str | None,
        typer.Option(help="Drop all that the database of this name has now. Without: it must be empty."),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup back: check the file, migrate, load, and check the chains of messages and audit."""
    reader = BackupReader(file)
    with progress("checked", _size(reader.parts)) as tell:
        reader.check(tell.update)
    with _to_write(data) as settings:
        database = backup_database(settings)
        database.check_known(reader.facts["revision"])
        _make_room(database, replace)
        with progress("restored", _size(reader.parts)) as tell:
            parts = ((part, _told(reader.chunks(part), tell)) for part in reader.parts)
            database.load(reader.facts["revision"], parts)
        wrong = database.broken()
        answer = {"file": str(file), "sha256": reader.sha256(), **reader.facts, "broken": wrong}
        _note(settings, "restored", reader.facts["workspaces"], answer)
    if wrong:
        raise Conflict(f"it is restored as it was, and does not verify: {', '.join(wrong[:WRONG_SHOWN])}")
    words = f"{answer['rows']} rows as of {answer['at']} are back; the chains of messages and audit verify"
    show(answer, as_json=as_json, text=words)


def _write(database: BackupDatabase, writer: BackupWriter) -> dict[str, Any]:
    with database.snapshot() as snapshot:
        tables = snapshot.tables()
        with progress("copied", sum(size_bytes for _, _, size_bytes in tables)) as tell:
            parts = [
                writer.add(table, columns, _told(snapshot.rows(table, columns), tell))
                for table, columns, _ in tables
            ]
        facts = {
            "revision": snapshot.revision,
            "at": snapshot.at.isoformat(),
            "database": snapshot.database,
            "server": snapshot.server,
            "workspaces": snapshot.workspaces,
            "rows": sum(part.rows for part in parts),
        }
    writer.finish(facts)
    return facts


def _make_room(database: BackupDatabase, replace: str | None) -> None:
    if database.in_use():
        raise Conflict("processes of a stack are connected to this database: stop them all first")
    if database.has_rows() and replace != database.name():
        raise Conflict(
            f"the database {database.name()} is not empty: to drop all that is in it, say --replace {database.name()}"
        )
    database.clear()


def _note(settings: Settings, what: str, workspaces: Iterable[str], answer: dict[str, Any]) -> None:
    """Every workspace's audit says so: its data left the database, or came out of a file."""
    facts = {name: answer[name] for name in ("at", "rows", "revision")} | {"file": Path(answer["file"]).name}
    for workspace in workspaces:
        with console_of(settings, workspace) as (container, caller):
            note_backup(container.deps, caller, what, answer["sha256"], facts)


@contextmanager
def _to_read(data: Path | None) -> Iterator[Settings]:
    """The database of DATABASE_URL, of the stack that runs, or else of the stack that does not run on this data."""
    settings = stack_settings(data)
    if settings.database_url is not None:
        yield settings
    elif not (settings.data_dir / "postgres").is_dir():
        raise NotFound(f"there is no stack's data in {settings.data_dir}: give --data, or DATABASE_URL")
    else:
        with postgres_alone(settings) as url:
            yield load_settings(data_dir=data, database_url=url)


@contextmanager
def _to_write(data: Path | None) -> Iterator[Settings]:
    """The database of DATABASE_URL, or else the one on this data, while no stack runs there."""
    settings = load_settings(data_dir=data)
    if settings.database_url is not None:
        yield settings
    else:
        with postgres_alone(settings) as url:
            yield load_settings(data_dir=data, database_url=url)


def _told(chunks: Iterable[bytes], tell: Any) -> Iterator[bytes]:  # noqa: ANN401  Click's bar
    for chunk in chunks:
        tell.update(len(chunk))
        yield chunk


def _size(parts: Iterable[Part]) -> int:
    return sum(part.size_bytes for part in parts)
