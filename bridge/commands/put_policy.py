"""An SRE changes numbers of a scope while it runs: the next version, in force everywhere within a second."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from bridge.core.caller import Caller
from bridge.core.errors import Conflict
from bridge.core.policy_layers import PolicyView, change, check_scope, view
from bridge.db.deps import Deps
from bridge.db.idempotency import remember, replayed, take_key
from bridge.db.policy_store import hold_policies, store_policy

ROUTE = "put_policy"


@dataclass(frozen=True, slots=True)
class PutPolicyResult:
    """The scope as it is now, and whether this call changed it."""

    view: PolicyView
    changed: bool
    replayed: bool = False


def put_policy(
    deps: Deps,
    caller: Caller,
    scope: str,
    numbers: dict[str, Any],
    *,
    reason: str,
    expected_version: int | None = None,
    whole: bool = False,
    key: str | None = None,
) -> PutPolicyResult:
    """Lay `numbers` over what the scope sets; `whole` puts them in its place, None takes one away.

    What changes nothing stores nothing. Raises InvalidArgument naming the number, Conflict for another version than
    the expected one, IdempotencyConflict.
    """
    check_scope(scope)
    said = json.dumps([scope, numbers, reason, expected_version, whole], sort_keys=True)
    digest = hashlib.sha256(said.encode()).digest()
    seed = deps.policies.seed
    with deps.unit(caller.workspace_id, caller) as uow:
        if key is not None and not take_key(uow, caller.agent_id, ROUTE, key, digest):
            return _again(replayed(uow, caller.agent_id, ROUTE, key, digest))
        layers = hold_policies(uow)
        old = layers[scope]
        if expected_version not in (None, old.version):
            detail = f"{scope} is at version {old.version}, not {expected_version}: read it and decide again"
            raise Conflict(detail, version=old.version)
        data = change(seed, layers, scope, numbers, whole=whole)
        changed = data != old.data
        if changed:
            layers = store_policy(uow, layers, scope, data, author=caller.agent_id, reason=reason)
        found = view(seed, layers, scope)
        if key is not None:
            remember(uow, caller.agent_id, ROUTE, key, {"view": asdict(found), "changed": changed})
    deps.policies.forget(caller.workspace_id)
    return PutPolicyResult(found, changed)


def _again(answer: dict[str, Any]) -> PutPolicyResult:
    """The first call's answer, as it was."""
    at = answer["view"]["created_at"]
    said = answer["view"] | {"created_at": datetime.fromisoformat(at) if at else None}
    return PutPolicyResult(PolicyView(**said), answer["changed"], replayed=True)
