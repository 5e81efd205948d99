"""Whether a host's worker may start on this database: not with another schema, not under a name that is held."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bridge.db.deps import Deps
from bridge.db.keeper import HOST_TERM_S
from bridge.db.revisions import code_head, database_head

NO_SUCH_ROLE = "22023"
"""The first migration makes the role that every connection takes."""

_HOLDER = text("""
SELECT split_part(holder, '/', 1) AS machine, extract(epoch FROM bridge_now() - seen_at)::float8 AS age_s
FROM hosts WHERE host = :host AND holder IS NOT NULL AND seen_at IS NOT NULL
""")


def why_not_start(deps: Deps, host: str, machine: str) -> str | None:
    """Why the host's worker must not start on this machine, in a line; None when it may. Raises Unavailable."""
    known = code_head()
    try:
        with deps.db.plain() as connection:
            there = database_head(connection)
            if there != known:
                return _skewed(there, known)
            row = connection.execute(_HOLDER, {"host": host}).mappings().one_or_none()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == NO_SUCH_ROLE:
            return _skewed("", known)
        raise
    if row is None or row["machine"] == machine or row["age_s"] >= HOST_TERM_S:
        return None
    return (
        f"the host {host} is held by another machine, {row['machine']}, which was seen {max(0, row['age_s']):.0f} s "
        f"ago (its term is {HOST_TERM_S:.0f} s): stop the worker there, or take another name here"
    )


def _skewed(there: str, known: str) -> str:
    if not there:
        return (
            f"the database was never migrated, and this code needs revision {known}: run `bridge db upgrade`"
        )
    both = f"the database is at revision {there} and this code needs {known}"
    if there < known:
        return f"{both}: upgrade the bridge that the database belongs to (`bridge db upgrade`) first"
    return f"{both}: upgrade Wakebridge on this machine to the version of the bridge"
