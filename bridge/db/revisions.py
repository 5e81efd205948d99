"""Which migration the database is at, and which one this code was written for.

The code's is read from the files themselves: Alembic is a quarter of a worker's start.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, text

VERSIONS = Path(__file__).resolve().parents[2] / "migrations" / "versions"

_NAMED = re.compile(r"^(revision|down_revision)\b[^=\n]*=\s*[\"'](\w+)[\"']", re.MULTILINE)
_THERE = text("SELECT to_regclass('public.alembic_version') IS NOT NULL")
_REVISION = text("SELECT version_num FROM alembic_version")


@cache
def code_head() -> str:
    """The newest revision that this code knows."""
    former = {names.get("down_revision") for names in _named()}
    return max(known_revisions() - former, default="")


def known_revisions() -> set[str]:
    """Every revision that this code knows."""
    return {names["revision"] for names in _named()}


@cache
def _named() -> list[dict[str, str]]:
    return [dict(_NAMED.findall(path.read_text(encoding="utf-8"))) for path in VERSIONS.glob("*.py")]


def database_head(connection: Connection) -> str:
    """The revision that the database is at; empty for one that was never migrated."""
    if not connection.execute(_THERE).scalar_one():
        return ""
    return str(connection.execute(_REVISION).scalar_one_or_none() or "")
