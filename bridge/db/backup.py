"""Everything out of a database in one snapshot, and everything into an empty one.

Rules of this file:

- Rows travel as COPY's text, named column by column: it needs no program of Postgres's, and fits any version of it.
- Tables, roles, policies and functions are not copied: migrations make them.
- What is read is read as the archivist, who sees all workspaces and changes none.
- What is loaded is loaded as the owner, in one transaction: all of it is there, or none.
"""
# ruff: noqa: S608 - tables and columns are those of this code

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import Connection, NullPool, create_engine, text

from bridge.core.audit import Problem
from bridge.core.errors import Conflict, Unavailable
from bridge.core.retention import Part
from bridge.db import all_tables
from bridge.db.audit_proof import broken_history
from bridge.db.base import TENANT_FREE
from bridge.db.revisions import code_head, database_head, known_revisions
from bridge.db.uow import ON_A_CUT_NETWORK, translated

STATEMENT_S_MAX = 6 * 3600
"""For one table, or one check of all of them."""
LOCK_S_MAX = 30
BROKEN_MAX = 20

_SEE_ALL = "SET LOCAL ROLE wakebridge_archivist; SELECT set_config('app.workspace', '*', true)"
_WHEN = text(
    "SELECT bridge_now() AS at, current_database() AS name, current_setting('server_version') AS server"
)
_WORKSPACES = text("SELECT workspace_id FROM workspaces ORDER BY workspace_id")
_THERE = text("SELECT to_regclass(:name) IS NOT NULL")
_NAME = text("SELECT current_database()")
_OTHERS = text("""
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND application_name LIKE 'wakebridge-%' AND application_name <> 'wakebridge-backup'
""")
_UNSEEN = text(
    "UPDATE hosts SET holder = NULL, seen_at = NULL, canary_asked_at = NULL, canary_claimed_at = NULL"
)
"""No host has shown itself to this database: those that did, did so to the one that the backup is of."""


class Snapshot:
    """Everything as it was at one moment, while others go on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        row = connection.execute(_WHEN).one()
        self.at: datetime = row.at
        self.database: str = row.name
        self.server: str = row.server
        self.revision = database_head(connection)
        self.workspaces: list[str] = list(connection.execute(_WORKSPACES).scalars())

    def tables(self) -> list[tuple[str, tuple[str, ...], int]]:
        """Each table with its columns and about how many bytes it has; what others refer to comes first."""
        size = text("SELECT pg_table_size(CAST(:name AS regclass))")
        return [
            (
                table.name,
                tuple(table.columns.keys()),
                self._connection.execute(size, {"name": table.name}).scalar_one(),
            )
            for table in all_tables().sorted_tables
        ]

    def rows(self, table: str, columns: tuple[str, ...]) -> Iterator[bytes]:
        """The table's rows, as text of COPY."""
        cursor: Any = self._connection.connection.cursor()
        with _copying(table), cursor, cursor.copy(f"COPY {table} ({_listed(columns)}) TO STDOUT") as copy:
            yield from (bytes(chunk) for chunk in copy)

    def broken(self) -> Iterator[Problem]:
        """What does not follow from itself, of messages, audit and anchors, in any workspace."""
        for workspace_id in self.workspaces:
            yield from broken_history(self._connection, workspace_id)


class BackupDatabase:
    """A database as `bridge backup` and `bridge restore` see it: through the owner's address."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine = create_engine(
            url,
            poolclass=NullPool,
            connect_args={"connect_timeout": 3, "application_name": "wakebridge-backup"} | ON_A_CUT_NETWORK,
        )

    def revision(self) -> str:
        """The revision that it is at; empty for none."""
        with translated(), self._engine.connect() as connection:
            return database_head(connection)

    def check_revision(self) -> None:
        """Raise Conflict unless the database is what this code was written for."""
        found = self.revision()
        if found != code_head():
            raise Conflict(
                f"the database is at revision {found or 'nothing'}, this Wakebridge at {code_head()}: upgrade it first "
                "(bridge db upgrade), or use the Wakebridge that it belongs to"
            )

    def check_known(self, revision: str) -> None:
        """Raise Conflict for a revision that this code does not know: it is a newer one's."""
        if revision not in known_revisions():
            raise Conflict(
                f"the backup is of revision {revision[:40]}, which this Wakebridge ({code_head()}) does not know: "
                "restore it with the version that made it, or a newer one"
            )

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """One moment of it, for as long as the `with`."""
        with translated(), self._engine.connect() as connection:
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                _prepare(connection)
                for statement in _SEE_ALL.split("; "):
                    connection.execute(text(statement))
                yield Snapshot(connection)

    def name(self) -> str:
        """What the database is called."""
        with translated(), self._engine.connect() as connection:
            return str(connection.execute(_NAME).scalar_one())

    def in_use(self) -> bool:
        """Whether processes of a stack are connected to it."""
        with translated(), self._engine.connect() as connection:
            return bool(connection.execute(_OTHERS).scalar_one())

    def has_rows(self) -> bool:
        """Whether anything would be lost if it were emptied."""
        with translated(), self._engine.connect() as connection, connection.begin() as transaction:
            _prepare(connection)
            there = [name for name in all_tables().tables if _is_there(connection, name)]
            for name in there:
                _see_all(connection, name, may=True)
            found = any(
                connection.execute(text(f"SELECT EXISTS (SELECT FROM {name})")).scalar_one() for name in there
            )
            transaction.rollback()
            return found

    def clear(self) -> None:
        """Drop every table of ours, with all that is in them."""
        names = ", ".join([*all_tables().tables, "alembic_version"])
        with translated(), self._engine.begin() as connection:
            _prepare(connection)
            connection.execute(text(f"DROP TABLE IF EXISTS {names} CASCADE"))

    def load(self, revision: str, parts: Iterable[tuple[Part, Iterable[bytes]]]) -> None:
        """Make the tables as they were at that revision, fill them, and bring them to what this code needs."""
        from bridge.db.migrate import upgrade  # noqa: PLC0415  Alembic is slow to import, and only this needs it

        upgrade(self._url, revision)
        with translated(), self._engine.begin() as connection:
            _prepare(connection)
            for part, chunks in parts:
                _load(connection, part, chunks)
            connection.execute(_UNSEEN)
        upgrade(self._url)

    def broken(self) -> list[str]:
        """What does not follow from itself, of messages and audit; a few of them when there are many."""
        found: list[str] = []
        with self.snapshot() as snapshot:
            for problem in snapshot.broken():
                found.append(f"{problem.resource_type} {problem.resource_id} {problem.n}: {problem.what}")
                if len(found) == BROKEN_MAX:
                    break
        return found


def _prepare(connection: Connection) -> None:
    for name, seconds in (("statement_timeout", STATEMENT_S_MAX), ("lock_timeout", LOCK_S_MAX)):
        connection.execute(text(f"SET LOCAL {name} = '{seconds}s'"))
    connection.execute(text("SET LOCAL timezone = 'UTC'"))
    connection.execute(text("SET LOCAL datestyle = 'ISO'"))


def _is_there(connection: Connection, table: str) -> bool:
    return bool(connection.execute(_THERE, {"name": f"public.{table}"}).scalar_one())


def _see_all(connection: Connection, table: str, *, may: bool) -> None:
    """An owner that is no superuser passes row-level security only where it is not forced."""
    if table not in TENANT_FREE:
        how = "NO FORCE" if may else "FORCE"
        connection.execute(text(f"ALTER TABLE {table} {how} ROW LEVEL SECURITY"))


def _load(connection: Connection, part: Part, chunks: Iterable[bytes]) -> None:
    """Fill one table. Its owner passes row-level security meanwhile, and not a moment longer."""
    _see_all(connection, part.table, may=True)
    cursor: Any = connection.connection.cursor()
    with _copying(part.table), cursor:
        with cursor.copy(f"COPY {part.table} ({_listed(part.columns)}) FROM STDIN") as copy:
            for chunk in chunks:
                copy.write(chunk)
        loaded = cursor.rowcount
    if loaded != part.rows:
        raise Conflict(f"{part.table}: {loaded} rows were loaded, {part.rows} were expected")
    _see_all(connection, part.table, may=False)


@contextmanager
def _copying(table: str) -> Iterator[None]:
    """The driver's own errors in the bridge's words: a COPY does not pass through SQLAlchemy."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise Unavailable(
            f"the database did not stay while {table} was copied", sqlstate=error.sqlstate
        ) from error
    except psycopg.Error as error:
        raise Conflict(f"{table} cannot be copied ({error.sqlstate})", sqlstate=error.sqlstate) from error


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)
