"""Revoke one token by its jti, or every token that a session or an agent has had until now."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from bridge.core.caller import Caller
from bridge.db.deps import Deps
from bridge.db.fleet_store import store_revocation


class Revoked(StrEnum):
    """What is revoked."""

    JTI = "jti"
    SESSION = "session"
    AGENT = "agent"


def revoke_token(deps: Deps, caller: Caller, kind: Revoked, value: str, reason: str) -> datetime:
    """From when it is in force: everywhere within a second. A token that is made later is another one."""
    with deps.unit(caller.workspace_id, caller) as uow:
        return store_revocation(uow, kind.value, value, reason, caller.agent_id)
