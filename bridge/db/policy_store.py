"""A workspace's policy: the newest version of each scope laid over the seed, the nearer one on top."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import text

from bridge.core.policy import Policy, from_data
from bridge.db.uow import Database

_IN_FORCE = text("""
SELECT DISTINCT ON (scope) scope, version, data FROM policies
WHERE workspace_id = :workspace_id AND scope IN ('default', 'workspace') ORDER BY scope, version DESC
""")


def policy_loader(db: Database, seed: Policy) -> Callable[[str], Policy]:
    """What loads a workspace's policy: `seed`, then its `default`, then its `workspace` scope."""

    def load(workspace_id: str) -> Policy:
        with db.unit(workspace_id) as uow:
            rows = uow.run(_IN_FORCE, {"workspace_id": workspace_id}).mappings().all()
        policy = seed
        for row in rows:  # "default" sorts before "workspace"
            policy = from_data(row["data"], base=policy)
        return replace(policy, version=max((row["version"] for row in rows), default=seed.version))

    return load
