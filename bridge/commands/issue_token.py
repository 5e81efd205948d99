"""Let an agent have a token: its workspace is served and the agent known from now on, and the audit says so.

The token itself is signed by whoever holds the key; here it is only allowed and written down. A host lets nobody in who
is not known already.
"""

from __future__ import annotations

from bridge.core.authority import check_issue
from bridge.core.caller import Caller
from bridge.core.host import check_host_issue, host_of
from bridge.core.states import Role
from bridge.db.agent_store import know_agent
from bridge.db.deps import Deps
from bridge.db.fleet_store import serve_workspace
from bridge.db.host_agent import find_on_host
from bridge.db.rowless_audit import audit_rowless


def issue_token(
    deps: Deps,
    caller: Caller,
    *,
    workspace_id: str,
    agent_id: str,
    role: Role,
    session_id: str,
    life_s: float,
) -> str:
    """The `jti` of the token to make. Raises Forbidden, OutOfScopeWorkspace, InvalidArgument (the name)."""
    check_issue(caller, workspace_id, agent_id, role)
    jti = deps.ids.new("jti_")
    after = {"agent_id": agent_id, "role": role.value, "session_id": session_id, "by": caller.workspace_id}
    with deps.unit(workspace_id, caller) as uow:
        if caller.role is Role.HOST:
            found = find_on_host(uow, host_of(caller.agent_id) or "", agent_id, session_id)
            check_host_issue(caller.agent_id, role, life_s, found)
        now = uow.now()
        if caller.role is not Role.HOST:
            serve_workspace(uow)
            know_agent(uow, agent_id, now, is_human=role is Role.OPERATOR)
        audit_rowless(uow, "token", jti, "token.issued", {}, after, now)
    return jti
