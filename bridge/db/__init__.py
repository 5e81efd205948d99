"""What the service remembers: tables, the mapping of rows to core values, and the unit of work.

The only home of SQL that writes. `sql/` holds the functions and the row-level security, frozen into each migration.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import MetaData

_WITH_TABLES = ("agent", "audit", "host", "notice", "policy", "run", "security", "thread", "wake")


def all_tables() -> MetaData:
    """The metadata with every table known to it."""
    for name in _WITH_TABLES:
        import_module(f"bridge.db.{name}")
    metadata: MetaData = import_module("bridge.db.base").metadata
    return metadata
