"""Policies as they are in force, and how they came to be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, text

from bridge.core.caller import Caller
from bridge.core.policy_layers import SCOPES, PolicyView, check_scope, differences, view
from bridge.db.deps import Deps
from bridge.db.policy_store import read_layers


@dataclass(frozen=True, slots=True)
class NumberChange:
    """One number that a version sets otherwise than the version before; None: not set."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One version of a scope; `policy_version` is what wakes recorded while it was the newest of all."""

    version: int
    policy_version: int
    author: str
    reason: str
    created_at: datetime
    set: dict[str, Any]
    changes: tuple[NumberChange, ...]


def get_policy(deps: Deps, caller: Caller, scope: str) -> PolicyView:
    """The scope and the numbers in force. Raises InvalidArgument for a scope that there is not."""
    check_scope(scope)
    with deps.unit(caller.workspace_id, caller) as uow:
        layers = read_layers(uow)
    return view(deps.policies.seed, layers, scope)


_HISTORY = text("""
SELECT * FROM (
    SELECT scope, version, data, author, reason, created_at,
        lag(data) OVER (PARTITION BY scope ORDER BY version) AS data_before,
        row_number() OVER (ORDER BY created_at) AS policy_version
    FROM policies WHERE workspace_id = :workspace_id AND scope = ANY (CAST(:scopes AS text[]))
) AS versions
WHERE scope = :scope AND (CAST(:before AS integer) IS NULL OR version < :before) ORDER BY version DESC LIMIT :limit
""")


def list_policy_versions(
    deps: Deps, caller: Caller, scope: str, *, limit: int = 50, before: int | None = None
) -> list[PolicyVersion]:
    """The scope's versions, the newest first. Raises InvalidArgument for a scope that there is not."""
    check_scope(scope)
    params = {"workspace_id": caller.workspace_id, "scope": scope, "scopes": list(SCOPES)}
    with deps.unit(caller.workspace_id, caller) as uow:
        rows = uow.run(_HISTORY, params | {"before": before, "limit": limit}).mappings().all()
    return [_version(row) for row in rows]


def _version(row: RowMapping) -> PolicyVersion:
    changed = differences(row["data_before"] or {}, row["data"])
    return PolicyVersion(
        version=row["version"],
        policy_version=row["policy_version"],
        author=row["author"],
        reason=row["reason"],
        created_at=row["created_at"],
        set=row["data"],
        changes=tuple(NumberChange(name, was, now) for name, (was, now) in changed.items()),
    )
