"""What the scopes of a workspace set: every version is kept, the newest of each scope is in force.

One change of a workspace's policies at a time, of whichever scope: each is checked against all the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import text

from bridge.core.authority import HOME_WORKSPACE
from bridge.core.policy import Policy
from bridge.core.policy_layers import SCOPES, Data, Layer, differences, stack
from bridge.db.policy import policies
from bridge.db.rowless_audit import audit_rowless
from bridge.db.uow import Database, UnitOfWork

_IN_FORCE = text("""
SELECT p.scope, p.version, p.data, p.author, p.reason, p.created_at
FROM unnest(CAST(:scopes AS text[])) AS wanted (scope) CROSS JOIN LATERAL (
    SELECT * FROM policies
    WHERE workspace_id = :workspace_id AND policies.scope = wanted.scope ORDER BY version DESC LIMIT 1
) AS p
""")
_HOLD = text("SELECT pg_advisory_xact_lock(hashtextextended(:policies, 0))")
_A_MOMENT = timedelta(microseconds=1)


def policy_loader(db: Database, seed: Policy) -> Callable[[str], Policy]:
    """What loads a workspace's policy: `seed`, then its `default`, then its `workspace` scope.

    A host's slots are everybody's: another workspace's number may be lower than that of the home workspace, not higher.
    """

    def own(workspace_id: str) -> Policy:
        with db.unit(workspace_id) as uow:
            return stack(seed, read_layers(uow)).policy

    def load(workspace_id: str) -> Policy:
        policy = own(workspace_id)
        if workspace_id == HOME_WORKSPACE:
            return policy
        return replace(policy, host_slots=min(policy.host_slots, own(HOME_WORKSPACE).host_slots))

    return load


def read_layers(uow: UnitOfWork) -> dict[str, Layer]:
    """Each scope as it is in force; version 0 where nothing is stored."""
    params = {"workspace_id": uow.workspace_id, "scopes": list(SCOPES)}
    found = {row["scope"]: Layer(**row) for row in uow.run(_IN_FORCE, params).mappings()}
    return {scope: found.get(scope, Layer(scope)) for scope in SCOPES}


def hold_policies(uow: UnitOfWork) -> dict[str, Layer]:
    """The same, and nobody else changes one until this transaction ends. Raises Conflict when that takes too long."""
    uow.run(_HOLD, {"policies": f"policies\x1f{uow.workspace_id}"})
    return read_layers(uow)


def store_policy(
    uow: UnitOfWork, layers: dict[str, Layer], scope: str, data: Data, *, author: str, reason: str
) -> dict[str, Layer]:
    """The scope's next version, audited; the layers with it. The workspace's policies are held."""
    old = layers[scope]
    stored = [layer.created_at + _A_MOMENT for layer in layers.values() if layer.created_at]
    now = uow.now(*stored)  # no two versions of a workspace have the same time: it tells their order
    new = Layer(scope, old.version + 1, data, author, reason, now)
    row = {name: getattr(new, name) for name in Layer.__slots__}
    uow.run(policies.insert(), row | {"workspace_id": uow.workspace_id})
    changed = differences(old.data, data)
    before = {"version": old.version, "set": {name: was for name, (was, _) in changed.items()}}
    after = {"version": new.version, "set": {name: now for name, (_, now) in changed.items()}}
    audit_rowless(uow, "policy", scope, "policy.changed", before, after | {"reason": reason}, now)
    return layers | {scope: new}
