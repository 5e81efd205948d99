"""The denylist of a workspace, as its rows say."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import text

from bridge.db.uow import Database
from bridge.ports.tokens import Revocations

_SERVED = text("SELECT EXISTS (SELECT FROM workspaces WHERE workspace_id = :workspace_id)")
# Rows whose `until` is over forbid nothing that has not expired by itself.
_DENIED = text("""
SELECT kind, value, extract(epoch FROM created_at)::float8 AS at FROM revocations
WHERE workspace_id = :workspace_id AND (until IS NULL OR until > bridge_now()) LIMIT 100000
""")


def revocations_loader(db: Database) -> Callable[[str], Revocations]:
    """What reads a workspace's denylist. It raises Unavailable."""

    def load(workspace_id: str) -> Revocations:
        params = {"workspace_id": workspace_id}
        with db.unit(workspace_id) as uow:
            served = bool(uow.run(_SERVED, params).scalar_one())
            rows = uow.run(_DENIED, params).mappings().all()
        return Revocations(
            served=served,
            jtis=frozenset(row["value"] for row in rows if row["kind"] == "jti"),
            sessions=tuple((row["value"], row["at"]) for row in rows if row["kind"] == "session"),
            agents=tuple((row["value"], row["at"]) for row in rows if row["kind"] == "agent"),
        )

    return load
