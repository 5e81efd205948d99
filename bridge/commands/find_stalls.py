"""What no post can find: threads with open findings and no progress for too long. They are escalated, once."""

from __future__ import annotations

from datetime import timedelta

from bridge.core.thread import StallChecked, decide
from bridge.db.deps import Deps
from bridge.db.thread_store import lock_thread, quiet_threads, record_thread

BATCH = 50


def find_stalls(deps: Deps, workspace_id: str) -> int:
    """How many threads of the workspace were found stalled; at most a batch."""
    policy = deps.policies.current(workspace_id)
    with deps.unit(workspace_id, actor="tick.stall") as uow:
        before = uow.now() - timedelta(seconds=policy.stall_after_s)
        found = quiet_threads(uow, before, BATCH)
    count = 0
    for thread_id in found:
        with deps.unit(workspace_id, actor="tick.stall") as uow:
            locked = lock_thread(uow, thread_id)
            now = uow.now(locked.row["updated_at"])
            decision = decide(locked.thread, StallChecked(), policy, now)
            if decision.state != locked.thread:
                record_thread(uow, deps.ids, policy, locked, decision.state, decision.effects, now)
                count += 1
    return count
