"""A wake is due: claim it, or judge the lease or deadline that ended.

The answer to every ring; safe to be rung 0 or 100 times.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.core.effects import Probe
from bridge.core.states import WAKE_FINAL
from bridge.core.wake import decide
from bridge.core.wake_events import Due, Wake
from bridge.db.agent_store import ProbeTaken
from bridge.db.deps import Deps
from bridge.db.wake_record import record
from bridge.db.wake_store import clear_ring, facts, lock


@dataclass(frozen=True, slots=True)
class Advanced:
    """What the wake is now, and where. `probe`: this hand claimed it. `absorbed`: there was nothing to do."""

    wake: Wake
    host: str
    probe: Probe | None = None
    absorbed: bool = False
    early: bool = False
    lateness_s: float = 0.0


def advance_wake(deps: Deps, workspace_id: str, wake_id: str, worker: str) -> Advanced:
    """Look at the wake now. Raises NotFound; Conflict when another hand holds its lock for too long."""
    try:
        return _advance(deps, workspace_id, wake_id, worker)
    except ProbeTaken:  # judged again, it sees who probes
        return _advance(deps, workspace_id, wake_id, worker)


def _advance(deps: Deps, workspace_id: str, wake_id: str, worker: str) -> Advanced:
    policy = deps.policies.current(workspace_id)
    with deps.unit(workspace_id, actor=worker) as uow:
        locked = lock(uow, wake_id)
        now = uow.now(locked.updated_at)
        if locked.wake.state in WAKE_FINAL:
            return Advanced(locked.wake, locked.host, absorbed=True)
        if now < locked.wake.due_at:
            clear_ring(uow, wake_id)
            return Advanced(locked.wake, locked.host, absorbed=True, early=True)
        due = Due(facts(uow, locked.wake, locked.host, policy, now), worker)
        decision = decide(locked.wake, due, policy, now)
        record(uow, deps.ids, policy, locked, decision, "due", now)
    probes = [effect for effect in decision.effects if isinstance(effect, Probe)]
    lateness_s = (now - locked.wake.due_at).total_seconds()
    return Advanced(decision.state, locked.host, probes[0] if probes else None, lateness_s=lateness_s)
