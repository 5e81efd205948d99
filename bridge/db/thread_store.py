"""Loading threads under their lock, storing messages, and recording what the core decided about a thread."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, text, update

from bridge.core import wake as wake_core
from bridge.core.effects import CancelWakes, Effect, Notify, OpenUnread, Say
from bridge.core.errors import NotFound
from bridge.core.names import BRIDGE as SYSTEM
from bridge.core.policy import Policy
from bridge.core.states import MessageKind, ThreadStatus, WaitReason
from bridge.core.thread import Thread
from bridge.core.wake_events import CancelAsked
from bridge.db.notice import OPERATORS
from bridge.db.notice_store import tell
from bridge.db.thread import threads, to_core, to_row
from bridge.db.uow import UnitOfWork
from bridge.db.wake_record import insert_wake, record
from bridge.db.wake_store import lock_open
from bridge.ports.figures import Figure, Noted
from bridge.ports.gateway import Ring
from bridge.ports.ids import IdSource
from bridge.ports.tasks import TaskName, host_queue


@dataclass(frozen=True, slots=True)
class LockedThread:
    """A thread under this transaction's lock."""

    thread: Thread
    row: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Member:
    """A participant as routing needs it."""

    agent_id: str
    role: str | None
    last_read_seq: int
    is_human: bool


_LOCK = select(threads).where(threads.c.thread_id == bindparam("thread_id")).with_for_update(key_share=True)
_MEMBERS = text("""
SELECT p.agent_id, p.role, p.last_read_seq, coalesce(a.is_human, false) AS is_human FROM participants p
LEFT JOIN agents a ON a.workspace_id = p.workspace_id AND a.agent_id = p.agent_id
WHERE p.thread_id = :thread_id ORDER BY p.agent_id
""")
_QUIET = text("""
SELECT thread_id FROM threads WHERE status = 'active' AND open_findings > 0 AND NOT stalled
    AND progress_at <= :before ORDER BY progress_at LIMIT :limit
""")
_STATUS = text("SELECT status FROM threads WHERE thread_id = :thread_id")
_SEQ_OF = text("SELECT seq FROM messages WHERE message_id = :message_id AND thread_id = :thread_id")
_IS_MEMBER = text("SELECT 1 FROM participants WHERE thread_id = :thread_id AND agent_id = :agent_id")
_STORE = text("""
SELECT bridge_store(:workspace, :thread, CAST(:now AS timestamptz), CAST(:message AS jsonb), CAST(:wakes AS jsonb),
    CAST(:policy AS jsonb))
""")


def lock_thread(uow: UnitOfWork, thread_id: str) -> LockedThread:
    """The thread, locked. Raises NotFound, also for another workspace's."""
    row = uow.run(_LOCK, {"thread_id": thread_id}).mappings().one_or_none()
    if row is None:
        raise NotFound(thread_id=thread_id)
    return LockedThread(to_core(row), dict(row))


def status_of(uow: UnitOfWork, thread_id: str) -> ThreadStatus | None:
    """The status as it stands, without waiting for whoever is changing it; None for what is not there."""
    found = uow.run(_STATUS, {"thread_id": thread_id}).scalar_one_or_none()
    return None if found is None else ThreadStatus(found)


def members(uow: UnitOfWork, thread_id: str) -> list[Member]:
    """The participants, in order of their ids."""
    return [Member(**row) for row in uow.run(_MEMBERS, {"thread_id": thread_id}).mappings()]


def quiet_threads(uow: UnitOfWork, before: datetime, limit: int) -> list[str]:
    """Active threads with open findings and no progress since `before`, the longest quiet first; not locked."""
    return list(uow.run(_QUIET, {"before": before, "limit": limit}).scalars())


def seq_of(uow: UnitOfWork, thread_id: str, message_id: str) -> int | None:
    """The seq of a message of this thread."""
    params = {"message_id": message_id, "thread_id": thread_id}
    found: int | None = uow.run(_SEQ_OF, params).scalar_one_or_none()
    return found


def is_member(uow: UnitOfWork, thread_id: str, agent_id: str) -> bool:
    """Whether the agent takes part in the thread."""
    return (
        uow.run(_IS_MEMBER, {"thread_id": thread_id, "agent_id": agent_id}).scalar_one_or_none() is not None
    )


def post_numbers(policy: Policy) -> str:
    """The policy's numbers that storing a message needs."""
    names = ("wake_life_s_max", "listen_grace_s", "turns_max", "fan_out_max", "version")
    return json.dumps({name: getattr(policy, name) for name in names})


def store_message(
    uow: UnitOfWork,
    policy: Policy,
    thread_id: str,
    message: dict[str, Any],
    wakes: list[dict[str, Any]],
    now: datetime,
) -> dict[str, Any]:
    """Store a message in a locked thread with its wakes; rings those that are due."""
    params = {
        "workspace": uow.workspace_id,
        "thread": thread_id,
        "now": now,
        "message": json.dumps(message),
        "wakes": json.dumps(wakes),
        "policy": post_numbers(policy),
    }
    stored: dict[str, Any] = uow.run(_STORE, params).scalar_one()
    uow.rings += first_rings(uow.workspace_id, stored)
    return stored


def first_rings(workspace_id: str, stored: dict[str, Any]) -> list[Ring]:
    """The rings of wakes that were born due."""
    return [
        Ring(TaskName.WAKE_ATTEMPT, host_queue(wake["host"]), workspace_id, wake["wake_id"])
        for wake in stored["wakes"]
        if wake["born"] and wake["due_now"]
    ]


def record_thread(
    uow: UnitOfWork,
    ids: IdSource,
    policy: Policy,
    old: LockedThread,
    new: Thread,
    effects: tuple[Effect, ...],
    now: datetime,
    why: str | None = None,
) -> None:
    """Store what a locked thread became, then carry out the effects on its wakes.

    A change of its status or escalation is audited, with `why` where somebody gave a reason.
    """
    values = to_row(new) | {"updated_at": now}
    if new.status is not old.thread.status or new.escalation != old.thread.escalation:
        after = _audited(new) | {"reason": new.blocked_reason, "why": why}
        said = uow.said("thread", new.thread_id, _what(old.thread, new), _audited(old.thread), after)
        n, head = uow.audit(said, n=old.row["audit_n"], head=old.row["audit_head"], at=now)
        values |= {"audit_n": n, "audit_head": head}
    uow.run(update(threads).where(threads.c.thread_id == new.thread_id).values(**values))
    if new.escalated and not old.thread.escalated:
        uow.noted.append(Noted(Figure.ESCALATED))
    carry_out(uow, ids, policy, new, effects, now)


def _what(old: Thread, new: Thread) -> str:
    if new.status is not old.status:
        return f"thread.{new.status}"
    if new.escalation is None:
        return "thread.escalation_ended"
    return "thread.escalation_reassigned" if old.escalated else "thread.escalated"


def _audited(thread: Thread) -> dict[str, Any]:
    raised = thread.escalation
    told = {"by": raised.by, "owner": raised.owner, "reason": raised.reason} if raised else None
    return {
        "status": thread.status.value,
        "escalated": thread.escalated,
        "escalation": told,
        "open_findings": thread.open_findings,
    }


def audit_thread(
    uow: UnitOfWork, locked: LockedThread, what: str, after: Mapping[str, Any], now: datetime
) -> None:
    """What was done to a locked thread without changing its status: who, and why."""
    said = uow.said("thread", locked.thread.thread_id, what, {}, after)
    n, head = uow.audit(said, n=locked.row["audit_n"], head=locked.row["audit_head"], at=now)
    values = {"audit_n": n, "audit_head": head, "updated_at": now}
    uow.run(update(threads).where(threads.c.thread_id == locked.thread.thread_id).values(**values))


def carry_out(
    uow: UnitOfWork,
    ids: IdSource,
    policy: Policy,
    thread: Thread,
    effects: tuple[Effect, ...],
    now: datetime,
) -> None:
    """Do what the core asked for of a locked thread's wakes, messages and notices."""
    for effect in effects:
        _carry_out(uow, ids, policy, thread, effect, now)


def _carry_out(
    uow: UnitOfWork, ids: IdSource, policy: Policy, thread: Thread, effect: Effect, now: datetime
) -> None:
    match effect:
        case CancelWakes():
            _cancel_wakes(uow, ids, policy, thread, effect.why, now)
        case OpenUnread():
            _open_unread(uow, ids, policy, thread, now)
        case Say():
            message = system_message(ids, effect.text) | ({"to": [effect.to]} if effect.to else {})
            wakes = [_first_wake(ids, effect.to)] if effect.to and effect.wakes else []
            store_message(uow, policy, thread.thread_id, message, wakes, now)
        case Notify():
            if effect.loop:
                uow.noted.append(Noted(Figure.LOOP_DETECTED, effect.loop))
            sender = thread.last_sender if effect.tell_sender else None
            for audience in sorted({OPERATORS, *filter(None, (sender, effect.also))}):
                tell(uow, ids, audience, effect.cause, effect.text, now, thread_id=thread.thread_id)
        case _:  # OpenWakes: stored with the message
            return


def system_message(ids: IdSource, words: str) -> dict[str, Any]:
    """A message of the server's own."""
    return {
        "message_id": ids.new("msg_"),
        "schema_version": 1,
        "kind": MessageKind.SYSTEM.value,
        "body": words,
        "sender": SYSTEM,
    }


def _first_wake(ids: IdSource, agent_id: str) -> dict[str, Any]:
    return {"agent_id": agent_id, "wake_id": ids.new("wake_"), "reason": WaitReason.FIRST.value}


def _cancel_wakes(
    uow: UnitOfWork, ids: IdSource, policy: Policy, thread: Thread, why: str, now: datetime
) -> None:
    humans = {member.agent_id for member in members(uow, thread.thread_id) if member.is_human}
    for locked in lock_open(uow, thread.thread_id):
        if locked.wake.agent_id not in humans:
            at = max(now, locked.updated_at)
            record(
                uow,
                ids,
                policy,
                locked,
                wake_core.decide(locked.wake, CancelAsked(why), policy, at),
                "thread",
                at,
            )


_LAST_SEQ = text("SELECT last_seq FROM threads WHERE thread_id = :thread_id")
_UNREAD = text("""
SELECT EXISTS (SELECT FROM messages m WHERE m.thread_id = :thread_id AND m.seq > :cursor
    AND (m.kind <> 'system' OR :agent_id = ANY (m.to_agents)) AND m.sender_agent_id <> :agent_id
    AND (m.to_agents IS NULL OR :agent_id = ANY (m.to_agents)) AND (m.to_role IS NULL OR m.to_role = :role))
""")


def _open_unread(uow: UnitOfWork, ids: IdSource, policy: Policy, thread: Thread, now: datetime) -> None:
    last_seq = uow.run(_LAST_SEQ, {"thread_id": thread.thread_id}).scalar_one()
    for member in members(uow, thread.thread_id):
        params = {
            "thread_id": thread.thread_id,
            "cursor": member.last_read_seq,
            "agent_id": member.agent_id,
            "role": member.role,
        }
        if member.last_read_seq < last_seq and uow.run(_UNREAD, params).scalar_one():
            born = wake_core.birth(
                wake_id=ids.new("wake_"),
                workspace_id=thread.workspace_id,
                thread_id=thread.thread_id,
                agent_id=member.agent_id,
                target_seq=last_seq,
                policy=policy,
                now=now,
                reason=WaitReason.FIRST,
            )
            insert_wake(uow, born, born.due_at, now)
