"""A session says that it lives, and whether it is busy. It never says where or what to run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bridge.core.agent import offer_seat
from bridge.core.caller import Caller
from bridge.core.errors import ClaimMismatch
from bridge.core.policy import Policy
from bridge.core.session import Heartbeat, decide
from bridge.core.states import Role, SessionStatus
from bridge.db.agent_store import (
    change_agent,
    has_seat,
    know_agent,
    know_session,
    lock_agent,
    need_session,
    seat_held,
    store_session,
)
from bridge.db.deps import Deps
from bridge.db.uow import UnitOfWork


@dataclass(frozen=True, slots=True)
class SessionView:
    """The session as it is now."""

    session_id: str
    agent_id: str
    runtime: str
    status: str
    attached: bool
    heartbeat_at: datetime


def heartbeat_session(
    deps: Deps, caller: Caller, session_id: str, *, runtime: str, resumable: bool, status: SessionStatus
) -> SessionView:
    """Record the heartbeat of the caller's own session. Raises ClaimMismatch for any other."""
    if session_id != caller.session_id:
        raise ClaimMismatch("a heartbeat is for the session in the token", session_id=session_id)
    policy = deps.policies.current(caller.workspace_id)
    with deps.unit(caller.workspace_id, caller) as uow:
        now = uow.now()
        know_agent(uow, caller.agent_id, now, is_human=caller.role is Role.OPERATOR)
        if status is not SessionStatus.OFFLINE:
            _offer_seat(uow, caller.agent_id, session_id, policy, now)
        know_session(uow, session_id, caller.agent_id, runtime, now)
        session, row = need_session(uow, session_id)
        if session.agent_id != caller.agent_id:
            raise ClaimMismatch("the session belongs to another agent", session_id=session_id)
        now = uow.now(row["updated_at"])
        after = decide(session, Heartbeat(runtime, resumable, status), now)
        store_session(uow, row, session, after, now)
    if status is not SessionStatus.OFFLINE:
        deps.sign_of_life(caller.workspace_id, caller.agent_id)
    return SessionView(session_id, caller.agent_id, runtime, after.status.value, after.attached, now)


def _offer_seat(uow: UnitOfWork, agent_id: str, session_id: str, policy: Policy, now: datetime) -> None:
    """A session that lives takes a seat that no living one holds."""
    if not has_seat(uow, agent_id, session_id):
        lock_agent(uow, agent_id)  # before the look: a terminal that attaches meanwhile keeps its seat
        held = seat_held(uow, agent_id, session_id, policy.heartbeat_s_max, now)
        change_agent(uow, agent_id, lambda agent: offer_seat(agent, session_id, held=held), now)
