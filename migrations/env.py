"""Alembic's entry: the owner's connection, bounded waits, one migration at a time.

A migration waits at most `lock_timeout` for any lock, so that it never queues the whole fleet behind itself, and holds
an advisory lock, so that two of them never run at once.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text

from bridge.config import load_settings
from bridge.db import all_tables

ADVISORY_LOCK = 7_233_401
metadata = all_tables()


def run() -> None:
    """Run the migrations on the database of the settings, or of the `url` that a caller put into the config."""
    url = context.config.get_main_option("sqlalchemy.url") or load_settings().database_url_in_force
    engine = create_engine(url.replace("%%", "%"), poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.execute(text("SET statement_timeout = '60s'"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
        connection.commit()
        context.configure(
            connection=connection, target_metadata=metadata, compare_type=True, transaction_per_migration=True
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        connection.commit()


run()
