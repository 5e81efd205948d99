"""What must be true of a database before anything is acknowledged on it."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Connection, text

from bridge.core.errors import OurError
from bridge.db.uow import Database

DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


class Unsafe(OurError):
    """The database could lose what was acknowledged: nothing starts on it."""

    code: ClassVar[str] = "DATABASE_UNSAFE"


_SETTINGS = text("SELECT name, setting FROM pg_settings WHERE name = ANY (:names) ORDER BY name")
_CLOCK = text(
    "SELECT prosrc FROM pg_proc WHERE proname = 'bridge_now' AND pronamespace = 'public'::regnamespace"
)
_WALL = "selectclock_timestamp()"


def check_database(db: Database, *, test_clock: bool) -> None:
    """Raise Unsafe for one that is not durable, or whose clock is not the wall's; `test_clock` lets it be."""
    if test_clock:
        return
    with db.plain() as connection:
        check_connection(connection)


def check_connection(connection: Connection) -> None:
    """As check_database, on a connection that is there."""
    off = [
        row.name for row in connection.execute(_SETTINGS, {"names": list(DURABLE)}) if row.setting == "off"
    ]
    if off:
        raise Unsafe(f"Postgres runs with {', '.join(off)} off: what it acknowledges can be lost. Turn it on")
    source = connection.execute(_CLOCK).scalar_one_or_none()
    if source is not None and "".join(str(source).lower().split()).rstrip(";") != _WALL:
        raise Unsafe("this is a test database: its bridge_now() is not the wall clock")
