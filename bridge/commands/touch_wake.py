"""Nothing is in the way: commit `touching` and the attempt, before the first byte leaves or a process starts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bridge.core.effects import BeginAttempt
from bridge.core.ladder import Facts
from bridge.core.run import Run
from bridge.core.states import Rung
from bridge.core.wake import decide
from bridge.core.wake_events import TouchAllowed, Wake
from bridge.db.agent_store import lock_agent
from bridge.db.attempt_store import told
from bridge.db.deps import Deps
from bridge.db.run_store import cwd_of, run_of_attempt
from bridge.db.uow import AlreadyThere
from bridge.db.wake_record import record
from bridge.db.wake_store import facts, lock


@dataclass(frozen=True, slots=True)
class Begun:
    """The attempt that began, what its one line is to say, and the run that it starts, if it starts one."""

    wake: Wake
    attempt: BeginAttempt
    unread: int
    threads: int
    quiet_s: float
    accept_timeout_s: float
    lease_s: float
    run: Run | None = None
    cwd: str | None = None
    kill_after_s: float = 0.0
    kill_grace_s: float = 0.0


def touch_wake(
    deps: Deps, workspace_id: str, wake_id: str, *, fence: int, worker: str = "bridge"
) -> Begun | Wake:
    """Begin the attempt; or, when it cannot begin now, the wake as it waits or has ended.

    Raises FenceRejected when this hand no longer holds the wake.
    """
    try:
        return _touch(deps, workspace_id, wake_id, fence, worker, taken=False)
    except AlreadyThere:  # another attempt took the session or the last slot between the look and the insert
        return _touch(deps, workspace_id, wake_id, fence, worker, taken=True)


def _touch(
    deps: Deps, workspace_id: str, wake_id: str, fence: int, worker: str, *, taken: bool
) -> Begun | Wake:
    policy = deps.policies.current(workspace_id)
    with deps.unit(workspace_id, actor=worker) as uow:
        locked = lock(uow, wake_id)
        if locked.wake.rung is not Rung.LIVE:
            lock_agent(uow, locked.wake.agent_id)  # no terminal takes the seat between the look and the start
        now = uow.now(locked.updated_at)
        known = facts(uow, locked.wake, locked.host, policy, now)
        event = TouchAllowed(fence, _taken(known) if taken else known, deps.ids.new("ses_"))
        decision = decide(locked.wake, event, policy, now)
        record(uow, deps.ids, policy, locked, decision, "touch_allowed", now)
        begun = [effect for effect in decision.effects if isinstance(effect, BeginAttempt)]
        if not begun:
            return decision.state
        line = told(uow, begun[0].attempt_id)
        run = run_of_attempt(uow, begun[0].attempt_id) if begun[0].rung is not Rung.LIVE else None
        cwd = cwd_of(uow, run) if run else None
    return Begun(
        wake=decision.state,
        attempt=begun[0],
        unread=line.unread,
        threads=line.threads,
        quiet_s=policy.defer_quiet_s,
        accept_timeout_s=policy.limits(begun[0].rung).accept_timeout_s,
        lease_s=policy.lease_s,
        run=run,
        cwd=cwd,
        kill_after_s=policy.kill_after_s,
        kill_grace_s=policy.kill_grace_s,
    )


def _taken(known: Facts) -> Facts:
    session = known.session and replace(known.session, in_flight=True)
    return replace(known, session=session, slots_free=False)
