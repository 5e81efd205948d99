"""A human is typing in the caller's session: for runtimes that cannot see keys themselves."""

from __future__ import annotations

from bridge.core.caller import Caller
from bridge.core.errors import ClaimMismatch
from bridge.core.session import HumanTyped, decide
from bridge.db.agent_store import need_session, store_session
from bridge.db.deps import Deps


def report_human_input(deps: Deps, caller: Caller, session_id: str) -> None:
    """Note the time. Raises ClaimMismatch for another's session, NotFound for an unknown one."""
    if session_id != caller.session_id:
        raise ClaimMismatch("human input is reported for the session in the token", session_id=session_id)
    with deps.unit(caller.workspace_id, caller) as uow:
        session, row = need_session(uow, session_id)
        now = uow.now(row["updated_at"])
        store_session(uow, row, session, decide(session, HumanTyped(), now), now)
