"""A runtime on a host holds the session from now on; the session takes its agent's seat, and its wakes look again."""

from __future__ import annotations

from bridge.core.agent import take_seat
from bridge.core.errors import ClaimMismatch
from bridge.core.session import Attached, decide
from bridge.db.agent_store import change_agent, know_agent, know_session, need_session, store_session
from bridge.db.deps import Deps
from bridge.db.run_store import end_run_in


def attach_session(
    deps: Deps,
    workspace_id: str,
    agent_id: str,
    session_id: str,
    *,
    host: str,
    pid: int,
    runtime: str,
    preset: str | None = None,
    cwd: str | None = None,
) -> int:
    """The term under which the session is held: whoever attaches later holds a higher one. Raises ClaimMismatch."""
    with deps.unit(workspace_id, actor=f"host:{host}") as uow:
        now = uow.now()
        know_agent(uow, agent_id, now)
        change_agent(uow, agent_id, lambda agent: take_seat(agent, session_id, host), now)
        know_session(uow, session_id, agent_id, runtime, now)
        session, row = need_session(uow, session_id)
        if session.agent_id != agent_id:
            raise ClaimMismatch("the session belongs to another agent", session_id=session_id)
        now = uow.now(row["updated_at"])
        after = decide(session, Attached(host, pid, runtime, preset, cwd), now)
        store_session(uow, row, session, after, now)
        end_run_in(uow, session_id, "a terminal holds its session now")
    deps.sign_of_life(workspace_id, agent_id)
    return after.term
