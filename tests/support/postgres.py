"""A real Postgres for tests: one cluster a run, one migrated template, a clone of it for each test.

Rules of this file:

- With xdist the controller starts the cluster (the first time a worker is made) and hands its address on; without,
  the session fixture does. Either way it dies with the process that started it.
- The template is made once a cluster, under an advisory lock; a clone costs some milliseconds.
- The connection of `Owner` is the owner's: it sees every row. Commands never get it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, make_url, pool, text

from bridge.db.migrate import upgrade

TEMPLATE = "wakebridge_template"
TEMPLATE_LOCK = 7_233_999
_numbers = itertools.count(1)


def named(url: str, database: str) -> str:
    """The address of another database of the same cluster."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)


@contextmanager
def admin(url: str) -> Iterator[Connection]:
    """A connection outside any transaction, for CREATE DATABASE."""
    engine = create_engine(url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection


def make_template(url: str) -> str:
    """The name of the migrated template; made by whoever comes first."""
    with admin(url) as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": TEMPLATE_LOCK})
        there = connection.execute(
            text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": TEMPLATE}
        ).scalar_one_or_none()
        if there is None:
            connection.execute(text(f"DROP DATABASE IF EXISTS {TEMPLATE}_new"))
            connection.execute(text(f"CREATE DATABASE {TEMPLATE}_new"))
            upgrade(named(url, f"{TEMPLATE}_new"))
            connection.execute(text(f"ALTER DATABASE {TEMPLATE}_new RENAME TO {TEMPLATE}"))
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": TEMPLATE_LOCK})
    return TEMPLATE


@contextmanager
def fresh_database(url: str, template: str | None = TEMPLATE) -> Iterator[str]:
    """The address of a database that only this `with` knows; empty when there is no template."""
    name = f"t_{os.getpid()}_{next(_numbers)}"
    with admin(url) as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'}"))
    try:
        yield named(url, name)
    finally:
        with admin(url) as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


class Owner:
    """SQL as the owner of the database, each call its own transaction: to arrange and to look, past every policy."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url, pool_size=2, max_overflow=20)

    def close(self) -> None:
        """Give its connections back."""
        self.engine.dispose()

    def rows(self, sql: str, **params: Any) -> list[dict[str, Any]]:  # noqa: ANN401  values of any column
        """All rows, as dicts."""
        with self.engine.begin() as connection:
            found = connection.execute(text(sql), params)
            return [dict(row) for row in found.mappings()] if found.returns_rows else []

    def one(self, sql: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401
        """The one row there is."""
        (row,) = self.rows(sql, **params)
        return row

    def value(self, sql: str, **params: Any) -> Any:  # noqa: ANN401
        """The one value there is."""
        with self.engine.begin() as connection:
            return connection.execute(text(sql), params).scalar_one()

    def run(self, sql: str, **params: Any) -> None:  # noqa: ANN401
        """A statement whose answer nobody wants."""
        with self.engine.begin() as connection:
            connection.execute(text(sql), params)

    def driver(self, sql: str) -> None:
        """A whole script, in which neither % nor : means anything."""
        with self.engine.begin() as connection:
            script: Any = connection.connection.driver_connection
            script.execute(sql)

    @contextmanager
    def holding(self, sql: str, **params: Any) -> Iterator[Connection]:  # noqa: ANN401
        """A transaction that has run this, and holds its locks for as long as the `with`."""
        with self.engine.begin() as connection:
            connection.execute(text(sql), params)
            yield connection

    def insert(self, table: str, values: Mapping[str, Any]) -> None:
        """One row."""
        names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        self.run(f"INSERT INTO {table} ({names}) VALUES ({marks})", **values)  # noqa: S608  names are the test's own
