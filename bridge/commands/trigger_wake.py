"""Wake a participant by hand: the first seed's `trigger_participant`. The prompt is a message, never typed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from bridge.core import wake as core
from bridge.core.authority import Action, check
from bridge.core.caller import Caller
from bridge.core.errors import InvalidArgument, InvalidTransition, ThreadNotOpen
from bridge.core.policy import Policy
from bridge.core.states import ThreadStatus, WaitReason, WakeState
from bridge.core.wake_events import Forced
from bridge.db.deps import Deps
from bridge.db.idempotency import remember, replayed, take_key
from bridge.db.thread_store import (
    LockedThread,
    Member,
    audit_thread,
    lock_thread,
    members,
    store_message,
    system_message,
)
from bridge.db.uow import UnitOfWork
from bridge.db.wake_asked import note_asked
from bridge.db.wake_record import insert_wake, record
from bridge.db.wake_store import facts, host_of, lock

ROUTE = "trigger_wake"


@dataclass(frozen=True, slots=True)
class Triggered:
    """`result`: queued, already_active, or fallback_required (no live session: the ladder starts lower)."""

    wake_id: str | None
    target_agent_id: str
    action: str
    result: str
    target_seq: int
    replayed: bool = False


def trigger_wake(
    deps: Deps,
    caller: Caller,
    thread_id: str,
    *,
    target_agent_id: str,
    reason: str,
    trigger_prompt: str | None = None,
    force: bool = False,
    key: str | None = None,
) -> Triggered:
    """Open a wake for the participant up to the last message, or up to the prompt, which is stored as one.

    Raises NotFound, Forbidden, InvalidArgument (no participant), ThreadNotOpen, InvalidTransition (blocked).
    """
    if force:
        check(Action.FORCE_WAKE, caller.role)
    policy = deps.policies.current(caller.workspace_id)
    asked = [thread_id, target_agent_id, reason, trigger_prompt, force]
    digest = hashlib.sha256(json.dumps(asked).encode()).digest()
    with deps.unit(caller.workspace_id, caller) as uow:
        if key is not None and not take_key(uow, caller.agent_id, ROUTE, key, digest):
            return Triggered(**replayed(uow, caller.agent_id, ROUTE, key, digest))
        locked = lock_thread(uow, thread_id)
        target = _target(uow, locked, caller, target_agent_id)
        answer = _open(uow, deps, policy, locked, target, caller, reason, trigger_prompt)
        if force and answer.wake_id is not None:
            _force(uow, deps, policy, answer.wake_id, f"{caller.agent_id}: {reason}")
        if key is not None:
            remember(uow, caller.agent_id, ROUTE, key, asdict(answer))
    return answer


def _target(uow: UnitOfWork, locked: LockedThread, caller: Caller, agent_id: str) -> Member:
    people = {member.agent_id: member for member in members(uow, locked.thread.thread_id)}
    check(Action.TRIGGER, caller.role, own=caller.agent_id in people)
    if agent_id not in people:
        raise InvalidArgument(f"{agent_id} is not a participant", path="target_agent_id")
    if locked.thread.status is ThreadStatus.CLOSED:
        raise ThreadNotOpen
    if locked.thread.status is ThreadStatus.BLOCKED and not people[agent_id].is_human:
        raise InvalidTransition("the thread is blocked: unblock it first")
    return people[agent_id]


def _open(
    uow: UnitOfWork,
    deps: Deps,
    policy: Policy,
    locked: LockedThread,
    target: Member,
    caller: Caller,
    reason: str,
    prompt: str | None,
) -> Triggered:
    now = uow.now(locked.row["updated_at"])
    thread_id = locked.thread.thread_id
    wake_id = deps.ids.new("wake_")
    seq = locked.thread.last_seq
    if prompt is None and target.last_read_seq >= seq:
        return Triggered(None, target.agent_id, "none", "already_active", seq)
    born = core.birth(
        wake_id=wake_id,
        workspace_id=uow.workspace_id,
        thread_id=thread_id,
        agent_id=target.agent_id,
        target_seq=max(1, seq),
        policy=policy,
        now=now,
    )
    standing: str | None
    if prompt is None:
        standing = insert_wake(uow, born, born.due_at, now)
        said = {"agent_id": target.agent_id, "reason": reason, "wake_id": standing, "target_seq": seq}
        audit_thread(uow, locked, "thread.wake_triggered", said, now)
    else:
        message = system_message(deps.ids, prompt) | {
            "to": [target.agent_id],
            "metadata": {"triggered_by": caller.agent_id, "reason": reason},
        }
        wake: dict[str, Any] = {
            "agent_id": target.agent_id,
            "wake_id": wake_id,
            "reason": WaitReason.FIRST.value,
        }
        stored = store_message(uow, policy, thread_id, message, [wake], now)
        standing, seq = stored["wakes"][0]["wake_id"], stored["seq"]
    if standing is not None:
        note_asked(uow, policy, standing, caller.agent_id, "triggered", reason, now)
    session = facts(uow, born, host_of(uow, target.agent_id), policy, now).session
    live = session is not None and session.live
    return Triggered(
        standing,
        target.agent_id,
        "trigger_runtime" if live else "fall_back",
        "queued" if live else "fallback_required",
        seq,
    )


def _force(uow: UnitOfWork, deps: Deps, policy: Policy, wake_id: str, by: str) -> None:
    row = lock(uow, wake_id)
    if row.wake.state is WakeState.PENDING:
        now = uow.now(row.updated_at)
        record(
            uow,
            deps.ids,
            policy,
            row,
            core.decide(row.wake, Forced(by), policy, now),
            "forced",
            now,
        )
