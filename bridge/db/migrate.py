"""Bringing a database to the head of the migrations, and asking whether it is there."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"

_AT_START = (
    "UPDATE hosts SET canary_asked_at = NULL, canary_claimed_at = NULL",
    "INSERT INTO workspaces (workspace_id, created_at) VALUES ('default', bridge_now()) ON CONFLICT DO NOTHING",
    (
        "INSERT INTO agents (workspace_id, agent_id, is_human, created_at, updated_at) "
        "VALUES ('default', 'operator', true, bridge_now(), bridge_now()) ON CONFLICT DO NOTHING"
    ),
)
"""Every start: no host has answered yet, and there is a workspace with its operator, who is a human."""


def alembic_config(url: str | None = None) -> Config:
    """Alembic's configuration, in code: there is no ini file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    if url is not None:
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Run what is missing. Raises what Postgres raises; each migration is one transaction."""
    command.upgrade(alembic_config(url), revision)


def head() -> str:
    """The newest revision that this code knows."""
    found = ScriptDirectory.from_config(alembic_config()).get_current_head()
    return found or ""


def current(connection: Connection) -> str:
    """The revision that the database is at."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def prepare(url: str) -> tuple[str, str]:
    """Migrate, and forget what the last run's hosts said: the revisions before and after."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        before = current(connection)
    upgrade(url)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL ROLE wakebridge_app"))
        connection.execute(text("SELECT set_config('app.workspace', 'default', true)"))
        for statement in _AT_START:
            connection.execute(text(statement))
        after = current(connection)
    engine.dispose()
    return before, after
