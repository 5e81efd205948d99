"""An authenticated caller was refused something that an honest one does not ask for: note it in the audit."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.core.caller import Caller
from bridge.db.deps import Deps
from bridge.db.rowless_audit import audit_rowless


def record_security_event(
    deps: Deps, caller: Caller, kind: str, route: str, facts: Mapping[str, object] | None = None
) -> None:
    """One event in the caller's own chain; `facts` say more of it. Raises Unavailable."""
    with deps.unit(caller.workspace_id, caller) as uow:
        after = {"route": route, "session_id": caller.session_id, "jti": caller.jti, **(facts or {})}
        audit_rowless(uow, "security", caller.agent_id, f"security.{kind}", {}, after, uow.now())
