"""Late evidence: a line that nobody could vouch for has been seen taken by the program it was handed to."""

from __future__ import annotations

from bridge.core.errors import NotFound
from bridge.core.states import WakeState
from bridge.core.wake import decide
from bridge.core.wake_events import Accepted
from bridge.db.attempt_store import lock_attempt_row, note_outcome
from bridge.db.deps import Deps
from bridge.db.wake_record import record
from bridge.db.wake_store import lock_attempt, look


def accept_wake(
    deps: Deps, workspace_id: str, wake_id: str, *, session_id: str, by: str = "", worker: str = "bridge"
) -> None:
    """Every wake that the line told of is accepted, if it still waits for that. Raises NotFound.

    Only the session that the line was handed to can say so: for another there is no such wake.
    """
    policy = deps.policies.current(workspace_id)
    with deps.unit(workspace_id, actor=worker) as uow:
        attempt_id = look(uow, wake_id).attempt_id
        rows = lock_attempt(uow, attempt_id) if attempt_id else []
        lead = next((row.wake for row in rows if row.wake.wake_id == wake_id), None)
        if attempt_id is None or lead is None or lead.session_id != session_id:
            raise NotFound(wake_id=wake_id)
        now = uow.now(*(row.updated_at for row in rows))
        event = Accepted(attempt_id, by)
        decisions = [(row, decide(row.wake, event, policy, now)) for row in rows]
        if all(decision.state == row.wake for row, decision in decisions):
            if lead.state is WakeState.TOUCHING:  # the hand that typed has yet to say so: it finds this then
                lock_attempt_row(uow, attempt_id)
                note_outcome(uow, attempt_id, now, None)
            return
        for row, decision in decisions:
            record(uow, deps.ids, policy, row, decision, "accepted", now, by=by)
        lock_attempt_row(uow, attempt_id)
        note_outcome(uow, attempt_id, now, None)
