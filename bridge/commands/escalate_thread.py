"""Say that somebody has to decide in a thread, or that somebody else has. Its status stays as it is."""

from __future__ import annotations

from bridge.core.authority import Action, check
from bridge.core.caller import Caller
from bridge.core.summary import Summary, in_brief
from bridge.core.thread import EscalationAsked, OwnerFacts, decide
from bridge.db.deps import Deps
from bridge.db.thread_store import lock_thread, members, record_thread


def escalate_thread(
    deps: Deps, caller: Caller, thread_id: str, *, owner: str | None, reason: str, summary: Summary
) -> None:
    """Raise the escalation, or reassign it. The owner is told, with the summary in brief; it is woken if it takes part.

    Raises NotFound, Forbidden, ThreadNotOpen, InsufficientAuthority (somebody else's escalation).
    """
    check(Action.ESCALATE, caller.role)
    policy = deps.policies.current(caller.workspace_id)
    with deps.unit(caller.workspace_id, caller) as uow:
        locked = lock_thread(uow, thread_id)
        now = uow.now(locked.row["updated_at"])
        found = next((one for one in members(uow, thread_id) if one.agent_id == owner), None)
        facts = OwnerFacts(takes_part=found is not None, is_human=found is not None and found.is_human)
        about = "\n".join(in_brief(summary))
        asked = EscalationAsked(caller.agent_id, caller.role, reason, owner, facts, about)
        decision = decide(locked.thread, asked, policy, now)
        if decision.state != locked.thread:
            record_thread(uow, deps.ids, policy, locked, decision.state, decision.effects, now, reason)
