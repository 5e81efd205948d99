"""Somebody says that a session is to be left alone for a while, or gives it back.

Snooze, and the lock of a hand-over: while it lasts nothing is typed there, and nothing is started for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.core.authority import Action, check, needs_membership
from bridge.core.caller import Caller
from bridge.core.errors import ClaimMismatch
from bridge.core.hold import check_holder, hold_seconds
from bridge.core.session import Held, Released, decide
from bridge.db.agent_store import need_session, store_session
from bridge.db.deps import Deps


@dataclass(frozen=True, slots=True)
class SessionHold:
    """A session's hold as it stands at `now`; `held_until` is None when nobody holds it."""

    session_id: str
    agent_id: str
    held_until: datetime | None
    held_by: str | None
    reason: str | None
    now: datetime


def hold_session(
    deps: Deps, caller: Caller, session_id: str, *, for_s: float | None, reason: str | None
) -> SessionHold:
    """Hold it for so many seconds from now; None: as long as is allowed; 0: give it back, and ring what waits.

    A line that is being typed at this moment is finished. Raises ClaimMismatch for another's session (operators hold
    any), NotFound, InvalidArgument for more than the policy allows, Forbidden where somebody else's hold stands.
    """
    own = session_id == caller.session_id
    any_session = not needs_membership(Action.HOLD_SESSION, caller.role)
    if not own and not any_session:
        raise ClaimMismatch(
            "a hold is for the session in the token; operators hold any", session_id=session_id
        )
    check(Action.HOLD_SESSION, caller.role, own=own)
    seconds = hold_seconds(for_s, deps.policies.current(caller.workspace_id))
    with deps.unit(caller.workspace_id, caller) as uow:
        session, row = need_session(uow, session_id)
        if own and session.agent_id != caller.agent_id:
            raise ClaimMismatch("the session belongs to another agent", session_id=session_id)
        now = uow.now(row["updated_at"])
        hold = session.hold(now)
        check_holder(hold, caller.agent_id, operator=any_session)
        until = now + timedelta(seconds=seconds)
        event = Held(until, caller.agent_id, reason) if seconds else Released()
        after = decide(session, event, now)
        store_session(uow, row, session, after, now)
        if hold is not None and (not seconds or until < hold.until):
            uow.roused.add(session.agent_id)
    return SessionHold(session_id, session.agent_id, after.held_until, after.held_by, after.held_why, now)
