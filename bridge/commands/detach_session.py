"""The runtime let go of the session, or its connection ended: offline at once, and what was offered there looks on."""

from __future__ import annotations

from bridge.core.session import Detached, decide
from bridge.core.wake import decide as decide_wake
from bridge.core.wake_events import SessionLost
from bridge.db.agent_store import lock_session, store_session
from bridge.db.deps import Deps
from bridge.db.wake_record import record
from bridge.db.wake_store import lock_open_of_agent


def detach_session(deps: Deps, workspace_id: str, session_id: str, term: int, why: str = "") -> bool:
    """False when a later term holds the session, or nobody knows it: then nothing changes."""
    policy = deps.policies.current(workspace_id)
    with deps.unit(workspace_id, actor="host") as uow:
        found = lock_session(uow, session_id)
        if found is None:
            return False
        session, row = found
        now = uow.now(row["updated_at"])
        after = decide(session, Detached(term), now)
        if after == session:
            return False
        store_session(uow, row, session, after, now)
    lost = SessionLost(session_id, why or "its session ended before the message was read")
    with deps.unit(workspace_id, actor="host") as uow:
        for locked in lock_open_of_agent(uow, session.agent_id):
            now = uow.now(locked.updated_at)
            decision = decide_wake(locked.wake, lost, policy, now)
            record(uow, deps.ids, policy, locked, decision, "session_lost", now)
    return True
