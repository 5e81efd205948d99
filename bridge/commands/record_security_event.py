"""An authenticated caller was refused something that an honest one does not ask for: note it in the audit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from bridge.core.caller import Caller
from bridge.db.deps import Deps
from bridge.db.rowless_audit import audit_rowless, hold_chain, is_told_since

CHAIN = "security"


def record_security_event(
    deps: Deps, caller: Caller, kind: str, decision: Mapping[str, Any], *, quiet_s: float
) -> bool:
    """One event in the caller's own chain, unless one of its kind is there since `quiet_s`. Raises Unavailable."""
    event = f"security.{kind}"
    with deps.unit(caller.workspace_id, caller) as uow:
        hold_chain(uow, CHAIN, caller.agent_id)
        now = uow.now()
        if is_told_since(uow, CHAIN, caller.agent_id, event, now - timedelta(seconds=quiet_s)):
            return False
        audit_rowless(uow, CHAIN, caller.agent_id, event, {}, decision, now)
    return True
