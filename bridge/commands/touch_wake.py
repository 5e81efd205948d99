"""Nothing is in the way: commit `touching` and the attempt, before the first byte leaves."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bridge.core.effects import BeginAttempt
from bridge.core.wake import decide
from bridge.core.wake_events import TouchAllowed, Wake
from bridge.db.attempt_store import told
from bridge.db.deps import Deps
from bridge.db.uow import AlreadyThere
from bridge.db.wake_record import record
from bridge.db.wake_store import facts, lock


@dataclass(frozen=True, slots=True)
class Begun:
    """The attempt that began, and what its one line is to say."""

    wake: Wake
    attempt: BeginAttempt
    unread: int
    threads: int
    quiet_s: float
    accept_timeout_s: float
    lease_s: float


def touch_wake(
    deps: Deps, workspace_id: str, wake_id: str, *, fence: int, worker: str = "bridge"
) -> Begun | Wake:
    """Begin the attempt; or, when it cannot begin now, the wake as it waits or has ended.

    Raises FenceRejected when this hand no longer holds the wake.
    """
    try:
        return _touch(deps, workspace_id, wake_id, fence, worker, in_flight=False)
    except AlreadyThere:  # another attempt took the session between the look and the insert
        return _touch(deps, workspace_id, wake_id, fence, worker, in_flight=True)


def _touch(
    deps: Deps, workspace_id: str, wake_id: str, fence: int, worker: str, *, in_flight: bool
) -> Begun | Wake:
    policy = deps.policies.current(workspace_id)
    with deps.unit(workspace_id, actor=worker) as uow:
        locked = lock(uow, wake_id)
        now = uow.now(locked.updated_at)
        known = facts(uow, locked.wake, policy, now)
        if in_flight and known.session is not None:
            known = replace(known, session=replace(known.session, in_flight=True))
        decision = decide(locked.wake, TouchAllowed(fence, known), policy, now)
        record(uow, deps.ids, policy, locked, decision, "touch_allowed", now)
        begun = [effect for effect in decision.effects if isinstance(effect, BeginAttempt)]
        if not begun:
            return decision.state
        line = told(uow, begun[0].attempt_id)
    return Begun(
        wake=decision.state,
        attempt=begun[0],
        unread=line.unread,
        threads=line.threads,
        quiet_s=policy.defer_quiet_s,
        accept_timeout_s=policy.limits(begun[0].rung).accept_timeout_s,
        lease_s=policy.lease_s,
    )
