"""Alembic's entry: the owner's connection, bounded waits, one migration at a time.

A migration waits at most `lock_timeout` for any lock, so that it never queues the whole fleet behind itself, and holds
an advisory lock, so that two of them never run at once. Whoever comes second asks for it again and again: waiting for it
would hold a snapshot, which an index that the first builds CONCURRENTLY waits for, a deadlock.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine, pool, text

from bridge.config import load_settings
from bridge.core.errors import Conflict
from bridge.db import all_tables

ADVISORY_LOCK = 7_233_401
TRIES_MAX = 600
TRY_AGAIN_S = 0.1
metadata = all_tables()


def run() -> None:
    """Run the migrations on the database of the settings, or of the `url` that a caller put into the config."""
    url = context.config.get_main_option("sqlalchemy.url") or load_settings().database_url_in_force
    engine = create_engine(url.replace("%%", "%"), poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.execute(text("SET statement_timeout = '60s'"))
        connection.commit()
        take_turn(connection)
        context.configure(
            connection=connection, target_metadata=metadata, compare_type=True, transaction_per_migration=True
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        connection.commit()


def take_turn(connection: Connection) -> None:
    """Wait until no other migration runs. Raises Conflict."""
    for _ in range(TRIES_MAX):
        got = connection.execute(
            text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_LOCK}
        ).scalar_one()
        connection.commit()
        if got:
            return
        connection.execute(text("SELECT pg_sleep(:pause)"), {"pause": TRY_AGAIN_S})
        connection.commit()
    raise Conflict(
        "another migration of this database has been running for a minute: try again when it is done"
    )


run()
