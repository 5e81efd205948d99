"""A host holds the session of an agent that is a service, and seats it, unless a terminal or a run has the seat."""

from __future__ import annotations

from bridge.core.agent import take_seat
from bridge.core.host import BoundService
from bridge.core.session import Attached, decide
from bridge.db.agent_store import change_agent, know_session, need_session, store_session
from bridge.db.deps import Deps
from bridge.db.service_store import WEBHOOK, lock_bound


def attach_service(deps: Deps, found: BoundService, *, host: str, pid: int) -> tuple[str, int] | None:
    """The session and the term under which it is held; None when the binding does not stand, or the seat is taken.

    No sign of life: the service said nothing. Its wakes look again.
    """
    with deps.unit(found.workspace_id, actor=f"host:{host}") as uow:
        bound = lock_bound(uow, found.agent_id, host, found.preset)
        if bound is None or bound.taken:
            return None
        session_id = bound.session_id or deps.ids.new("ses_")
        now = uow.now()
        change_agent(uow, bound.agent_id, lambda agent: take_seat(agent, session_id), now)
        know_session(uow, session_id, bound.agent_id, WEBHOOK, now)
        session, row = need_session(uow, session_id)
        now = uow.now(row["updated_at"])
        after = decide(session, Attached(host, pid, WEBHOOK, bound.preset), now)
        store_session(uow, row, session, after, now)
        uow.roused.add(bound.agent_id)
    return session_id, after.term
