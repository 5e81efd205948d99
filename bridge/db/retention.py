"""What was kept long enough, removed a bounded number of rows at a time."""

from __future__ import annotations

from sqlalchemy import text

from bridge.db.uow import Database

KEYS_KEPT_H = 48
BATCH_MAX = 1_000

_FORGET_KEYS = text("""
WITH old AS (
    SELECT agent_id, route, key FROM idempotency_keys
    WHERE workspace_id = :workspace_id AND created_at < bridge_now() - make_interval(hours => :hours)
    LIMIT :most FOR UPDATE SKIP LOCKED
)
DELETE FROM idempotency_keys k USING old
WHERE k.workspace_id = :workspace_id AND k.agent_id = old.agent_id AND k.route = old.route AND k.key = old.key
""")


class Retention:
    """Forgets what no answer needs any more."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def forget_keys(self, workspace_id: str) -> int:
        """First answers of idempotent calls that are older than two days; how many."""
        params = {"workspace_id": workspace_id, "hours": KEYS_KEPT_H, "most": BATCH_MAX}
        with self._db.unit(workspace_id) as uow:
            return uow.run(_FORGET_KEYS, params).rowcount
