"""Post a message to a thread; whoever it is for has an open wake when this returns.

The fast post is one call of `bridge_post`. Where its guard refuses (an event, a cursor that moves, a status other than
active, a threshold, a recipient who is no participant), the shell takes over: it judges in the core, and says precisely
what is wrong.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.core import thread as core
from bridge.core import wake as wake_core
from bridge.core.caller import Caller
from bridge.core.effects import OpenWakes
from bridge.core.errors import (
    CursorOutOfRange,
    Forbidden,
    IdempotencyConflict,
    InvalidArgument,
)
from bridge.core.policy import Policy
from bridge.core.states import MessageKind, ThreadStatus, WaitReason
from bridge.core.wake_events import CursorMoved
from bridge.db.cursor_store import move_forward
from bridge.db.deps import Deps
from bridge.db.fast_post import fast_post
from bridge.db.finding_store import finding_facts, store_finding
from bridge.db.idempotency import remember, replayed, take_key
from bridge.db.thread_store import (
    LockedThread,
    Member,
    carry_out,
    first_rings,
    lock_thread,
    members,
    record_thread,
    seq_of,
    store_message,
)
from bridge.db.uow import UnitOfWork
from bridge.db.wake_record import record
from bridge.db.wake_store import Locked, lock_open

ROUTE = "post_message"
SPARE_IDS = 8


@dataclass(frozen=True, slots=True)
class Draft:
    """What the sender wrote. `delay_s`: how far `not_before` is from now (at most 7 days, checked at the door)."""

    body: str
    schema_version: int = 1
    kind: MessageKind = MessageKind.CHAT
    event: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    in_reply_to: str | None = None
    last_read_seq: int | None = None
    to: tuple[str, ...] | None = None
    to_role: str | None = None
    urgent: bool = False
    not_before: datetime | None = None
    delay_s: float = 0.0

    def digest(self) -> bytes:
        """The same payload has the same digest, whatever the order of its keys and whenever it comes."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "delay_s"}
        return hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode()).digest()


@dataclass(frozen=True, slots=True)
class OpenedWake:
    """The wake that stands for one recipient."""

    wake_id: str
    agent_id: str
    state: str


@dataclass(frozen=True, slots=True)
class Posted:
    """The answer, the same for every replay of the same key."""

    message_id: str
    seq: int
    thread_status: str
    created_at: datetime
    wakes: tuple[OpenedWake, ...]
    replayed: bool = False


def post_message(deps: Deps, caller: Caller, thread_id: str, draft: Draft, key: str | None = None) -> Posted:
    """Store the message and open or raise the wakes of its recipients, in one transaction.

    Raises NotFound, Forbidden (no participant), ThreadNotOpen, InvalidArgument (a recipient who is not there, too many
    recipients), IdempotencyConflict, CursorOutOfRange, Unavailable.
    """
    if draft.kind is MessageKind.SYSTEM:
        raise InvalidArgument("system messages are the server's own", path="kind")
    if draft.event is not None and draft.kind is not MessageKind.EVENT:
        raise InvalidArgument("only a message of kind event carries an event", path="event")
    policy = deps.policies.current(caller.workspace_id)
    fast = draft.kind is MessageKind.CHAT and draft.in_reply_to is None and draft.last_read_seq is None
    with deps.gate.of(thread_id):
        answer = _fast(deps, caller, thread_id, draft, key, policy) if fast else None
        if answer is None:
            answer = _slow(deps, caller, thread_id, draft, key, policy)
    if answer.get("sender_is_woken") and "replayed" not in answer:
        deps.sign_of_life(caller.workspace_id, caller.agent_id)
    return _posted(answer)


def _message(deps: Deps, caller: Caller, draft: Draft) -> dict[str, Any]:
    return {
        "message_id": deps.ids.new("msg_"),
        "schema_version": draft.schema_version,
        "kind": draft.kind.value,
        "event": draft.event,
        "body": draft.body,
        "metadata": draft.metadata,
        "sender": caller.agent_id,
        "session": caller.session_id,
        "in_reply_to": draft.in_reply_to,
        "to": list(draft.to) if draft.to is not None else None,
        "to_role": draft.to_role,
        "urgent": draft.urgent,
        "delay_s": draft.delay_s,
        "request_id": caller.request_id,
        "traceparent": caller.traceparent,
    }


def _fast(
    deps: Deps, caller: Caller, thread_id: str, draft: Draft, key: str | None, policy: Policy
) -> dict[str, Any] | None:
    wake_ids = [deps.ids.new("wake_") for _ in range(SPARE_IDS)]
    message = _message(deps, caller, draft)
    idempotency = (f"{ROUTE}:{thread_id}", key, draft.digest())
    answer = fast_post(deps.db, caller.workspace_id, thread_id, message, wake_ids, idempotency, policy)
    if answer.get("refused") == "idempotency":
        raise IdempotencyConflict
    if "refused" in answer:
        return None
    if "replayed" in answer:
        return dict(answer["replayed"]) | {"replayed": True}
    deps.gateway.ring(first_rings(caller.workspace_id, answer))
    return answer


def _slow(
    deps: Deps, caller: Caller, thread_id: str, draft: Draft, key: str | None, policy: Policy
) -> dict[str, Any]:
    with deps.unit(caller.workspace_id, caller) as uow:
        if key is not None and not take_key(
            uow, caller.agent_id, f"{ROUTE}:{thread_id}", key, draft.digest()
        ):
            return replayed(uow, caller.agent_id, f"{ROUTE}:{thread_id}", key, draft.digest())
        locked = lock_thread(uow, thread_id)
        now = uow.now(locked.row["updated_at"])
        people = {member.agent_id: member for member in members(uow, thread_id)}
        if caller.agent_id not in people:
            raise Forbidden("you take no part in this thread", thread_id=thread_id)
        recipients = _recipients(people, caller.agent_id, draft, policy)
        event = _event(uow, locked, people[caller.agent_id], draft)
        decision = core.decide(locked.thread, event, policy, now)
        # In the lock order: participant, finding, wakes, attempts, notices.
        cursor = _cursor(uow, locked, draft)
        moved = cursor is not None and move_forward(uow, thread_id, caller.agent_id, cursor)
        store_finding(uow, thread_id, draft.event, locked.thread.last_seq + 1, now)
        open_wakes = lock_open(uow, thread_id) if moved else []  # all, since their order is by agent
        wakes = _wakes(deps, decision, recipients, people, draft)
        message = _message(deps, caller, draft)
        others = tuple(effect for effect in decision.effects if not isinstance(effect, OpenWakes))
        record_thread(uow, deps.ids, policy, locked, decision.state, (), now)
        stored = store_message(uow, policy, thread_id, message, wakes, now)
        for row in open_wakes:
            if row.wake.agent_id == caller.agent_id:
                _read_own_wake(uow, deps, policy, row, cursor or 0, now)
        carry_out(uow, deps.ids, policy, decision.state, others, now)
        answer = stored | {"thread_status": decision.state.status.value}
        if key is not None:
            remember(uow, caller.agent_id, f"{ROUTE}:{thread_id}", key, answer)
    return answer


def _recipients(people: dict[str, Member], sender: str, draft: Draft, policy: Policy) -> list[str]:
    others = [agent_id for agent_id in sorted(people) if agent_id != sender]
    if draft.to is not None:
        missing = sorted(set(draft.to) - set(people))
        if missing:
            raise InvalidArgument(f"not a participant: {', '.join(missing[:10])}", path="to")
        others = [agent_id for agent_id in others if agent_id in draft.to]
    if draft.to_role is not None:
        others = [agent_id for agent_id in others if people[agent_id].role == draft.to_role]
        if not others:
            raise InvalidArgument(f"nobody here holds the role {draft.to_role}", path="to_role")
    if len(others) > policy.fan_out_max:
        raise InvalidArgument(
            f"this would wake {len(others)} agents, more than fan_out_max ({policy.fan_out_max}): address fewer",
            path="to",
        )
    return others


def _event(uow: UnitOfWork, locked: LockedThread, sender: Member, draft: Draft) -> core.Posted:
    event = draft.event or {}
    return core.Posted(
        sender=sender.agent_id,
        kind=draft.kind,
        by_human=sender.is_human,
        event_type=event.get("type"),
        commit=event.get("commit"),
        finding=finding_facts(uow, locked.thread.thread_id, event),
    )


def _cursor(uow: UnitOfWork, locked: LockedThread, draft: Draft) -> int | None:
    """How far the post says that its sender has read; `in_reply_to` moves the cursor at least there."""
    seqs: list[int] = []
    if draft.last_read_seq is not None:
        if draft.last_read_seq > locked.thread.last_seq:
            raise CursorOutOfRange(f"the last message is {locked.thread.last_seq}")
        seqs.append(draft.last_read_seq)
    if draft.in_reply_to is not None:
        seq = seq_of(uow, locked.thread.thread_id, draft.in_reply_to)
        if seq is None:
            raise InvalidArgument("in_reply_to is not a message of this thread", path="in_reply_to")
        seqs.append(seq)
    return max(seqs) if seqs else None


def _read_own_wake(
    uow: UnitOfWork, deps: Deps, policy: Policy, row: Locked, cursor: int, now: datetime
) -> None:
    """The sender's own wake hears of its cursor."""
    at = max(now, row.updated_at)
    decision = wake_core.decide(row.wake, CursorMoved(cursor), policy, at)
    record(uow, deps.ids, policy, row, decision, "cursor_moved", at)


def _wakes(
    deps: Deps, decision: core.Decision, recipients: list[str], people: dict[str, Member], draft: Draft
) -> list[dict[str, Any]]:
    opens = [effect for effect in decision.effects if isinstance(effect, OpenWakes)]
    if not opens:
        return []
    if decision.state.status is ThreadStatus.BLOCKED:
        recipients = [agent_id for agent_id in recipients if people[agent_id].is_human]
    slowed_s = opens[0].delay_s
    return [
        {
            "agent_id": agent_id,
            "wake_id": deps.ids.new("wake_"),
            "reason": (WaitReason.SLOWED if slowed_s else WaitReason.FIRST).value,
            "delay_s": slowed_s or draft.delay_s,
            "moves_birth": not slowed_s,
        }
        for agent_id in recipients
    ]


def _posted(answer: dict[str, Any]) -> Posted:
    return Posted(
        message_id=answer["message_id"],
        seq=answer["seq"],
        thread_status=answer["thread_status"],
        created_at=datetime.fromisoformat(answer["created_at"]),
        wakes=tuple(OpenedWake(w["wake_id"], w["agent_id"], w["state"]) for w in answer["wakes"]),
        replayed=bool(answer.get("replayed")),
    )
