"""A thread's messages in order, and how far the proof of each one goes."""
# ruff: noqa: S608 - every part of the statements is a constant of ours

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from bridge.core.authority import Action, check
from bridge.core.caller import Caller
from bridge.core.errors import NotFound
from bridge.core.states import WAKE_OPEN, Receipt, WakeState
from bridge.db.deps import Deps
from bridge.db.uow import UnitOfWork
from bridge.queries.threads import FOR_AGENT, takes_part

RECIPIENTS_MAX = 1000


@dataclass(frozen=True, slots=True)
class MessageView:
    """One message, as it was written; of a redacted one there is no body, no metadata, and of its event the type."""

    message_id: str
    thread_id: str
    seq: int
    schema_version: int
    kind: str
    event: dict[str, Any] | None
    body: str
    metadata: dict[str, Any] | None
    sender_agent_id: str
    sender_session_id: str | None
    in_reply_to: str | None
    to: list[str] | None
    to_role: str | None
    urgent: bool
    created_at: datetime
    redacted: bool
    redacted_at: datetime | None
    redacted_by: str | None


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Messages after `since_seq`; give `next_seq` as the next `since_seq`."""

    items: tuple[MessageView, ...]
    next_seq: int
    has_more: bool
    last_seq: int


@dataclass(frozen=True, slots=True)
class RecipientReceipt:
    """How far the proof goes for one recipient, when each step was seen, and why it went no further."""

    agent_id: str
    receipt: str
    offered_at: datetime | None
    accepted_at: datetime | None
    answered_at: datetime | None
    wake_id: str | None
    wake_state: str | None
    waits_for: str | None
    why: str | None


@dataclass(frozen=True, slots=True)
class Receipts:
    """The receipts of one message."""

    thread_id: str
    message_id: str
    seq: int
    sender_agent_id: str
    created_at: datetime
    items: tuple[RecipientReceipt, ...]


_LAST_SEQ = text("SELECT last_seq FROM threads WHERE thread_id = :thread_id")
_READ = text("""
SELECT message_id, thread_id, seq, schema_version, kind, event, body, metadata, sender_agent_id, sender_session_id,
    in_reply_to, to_agents AS to, to_role, urgent, created_at,
    redacted_at IS NOT NULL AS redacted, redacted_at, redacted_by
FROM messages WHERE thread_id = :thread_id AND seq > :since_seq AND seq <= :last_seq
    AND (CAST(:kind AS text) IS NULL OR kind = :kind)
    AND (CAST(:event_type AS text) IS NULL OR event_type = :event_type)
    AND (CAST(:sender AS text) IS NULL OR sender_agent_id = :sender)
ORDER BY seq LIMIT :limit
""")


def read_messages(
    deps: Deps,
    caller: Caller,
    thread_id: str,
    *,
    since_seq: int = 0,
    limit: int = 50,
    kind: str | None = None,
    event_type: str | None = None,
    sender: str | None = None,
) -> MessagePage:
    """A page in order of seq. Raises NotFound, and Forbidden where the role reads only its own threads."""
    params: dict[str, Any] = {
        "thread_id": thread_id,
        "since_seq": since_seq,
        "kind": kind,
        "event_type": event_type,
        "sender": sender,
        "limit": limit + 1,
    }
    with deps.unit(caller.workspace_id, caller) as uow:
        check(Action.READ_THREAD, caller.role, own=takes_part(uow, caller, thread_id))
        # The end first: what is committed after it belongs to the next page, with any filter.
        params["last_seq"] = last_seq = uow.run(_LAST_SEQ, params).scalar_one()
        found = [MessageView(**row) for row in uow.run(_READ, params).mappings()]
    items, has_more = tuple(found[:limit]), len(found) > limit
    next_seq = items[-1].seq if has_more else max(since_seq, last_seq)
    return MessagePage(items, next_seq, has_more, last_seq)


_MESSAGE = text("""
SELECT thread_id, message_id, seq, sender_agent_id, created_at FROM messages
WHERE thread_id = :thread_id AND seq = :seq
""")
_RECEIPTS = text(f"""
SELECT m.seq, m.sender_agent_id, m.created_at, p.agent_id, p.last_read_seq, o.offered_at, o.accepted_at, r.answered_at,
    w.wake_id, w.state, w.reason, w.why
FROM messages m JOIN participants p ON p.thread_id = m.thread_id
LEFT JOIN LATERAL (
    -- A process that never showed whose session it is was handed nothing, as far as can be known.
    SELECT min(CASE a.rung WHEN 'live' THEN x.handed_at ELSE a.accepted_at END) AS offered_at,
        min(a.accepted_at) AS accepted_at
    FROM wakes v JOIN attempt_wakes x ON x.wake_id = v.wake_id JOIN attempts a ON a.attempt_id = x.attempt_id
    WHERE v.thread_id = m.thread_id AND v.agent_id = p.agent_id AND v.offered_seq >= m.seq AND x.offered_seq >= m.seq
        AND x.handed_at IS NOT NULL
) o ON true
LEFT JOIN LATERAL (
    SELECT min(n.created_at) AS answered_at FROM messages n
    WHERE n.in_reply_to = m.message_id AND n.thread_id = m.thread_id AND n.sender_agent_id = p.agent_id
) r ON true
LEFT JOIN LATERAL (
    SELECT v.wake_id, v.state, v.reason, v.why FROM wakes v
    WHERE v.thread_id = m.thread_id AND v.agent_id = p.agent_id AND v.target_seq >= m.seq
    ORDER BY v.created_at DESC LIMIT 1
) w ON true
WHERE m.thread_id = :thread_id AND m.seq BETWEEN :first AND :last AND {FOR_AGENT}
    AND (CAST(:agent_id AS text) IS NULL OR p.agent_id = :agent_id)
ORDER BY m.seq DESC, p.agent_id LIMIT :most
""")


def receipts(deps: Deps, caller: Caller, thread_id: str, seq: int) -> Receipts:
    """Per recipient: stored, offered, accepted, read, answered, or failed and why. Raises NotFound, Forbidden."""
    params = {"thread_id": thread_id, "seq": seq}
    with deps.unit(caller.workspace_id, caller) as uow:
        check(Action.READ_THREAD, caller.role, own=takes_part(uow, caller, thread_id))
        message = uow.run(_MESSAGE, params).mappings().one_or_none()
        if message is None:
            raise NotFound(thread_id=thread_id, seq=seq)
        wanted = {"thread_id": thread_id, "first": seq, "last": seq, "agent_id": None, "most": RECIPIENTS_MAX}
        items = tuple(_receipt(dict(row)) for row in uow.run(_RECEIPTS, wanted).mappings())
    return Receipts(**message, items=items)


@dataclass(frozen=True, slots=True)
class MessageReceipt:
    """How far the proof of one message goes for one recipient."""

    seq: int
    sender_agent_id: str
    created_at: datetime
    receipt: str
    offered_at: datetime | None
    accepted_at: datetime | None
    answered_at: datetime | None


def receipts_for(
    uow: UnitOfWork, thread_id: str, agent_id: str, *, first: int, last: int, most: int
) -> tuple[MessageReceipt, ...]:
    """Those of the agent for the messages from `first` to `last`: the newest `most`, the oldest of them first."""
    wanted = {"thread_id": thread_id, "first": first, "last": last, "agent_id": agent_id, "most": most}
    rows = [dict(row) for row in uow.run(_RECEIPTS, wanted).mappings()]
    return tuple(
        MessageReceipt(
            seq=row["seq"],
            sender_agent_id=row["sender_agent_id"],
            created_at=row["created_at"],
            receipt=_receipt(row).receipt,
            offered_at=row["offered_at"],
            accepted_at=row["accepted_at"],
            answered_at=row["answered_at"],
        )
        for row in reversed(rows)
    )


def _receipt(row: dict[str, Any]) -> RecipientReceipt:
    state = WakeState(row["state"]) if row["state"] else None
    return RecipientReceipt(
        agent_id=row["agent_id"],
        receipt=_level(row, row["seq"], state).value,
        offered_at=row["offered_at"],
        accepted_at=row["accepted_at"],
        answered_at=row["answered_at"],
        wake_id=row["wake_id"],
        wake_state=row["state"],
        waits_for=row["reason"] if state is WakeState.PENDING else None,
        why=row["why"],
    )


def _level(row: dict[str, Any], seq: int, state: WakeState | None) -> Receipt:
    """The furthest proof; `failed` only where nothing further will come of the wake that was to bring it."""
    if row["answered_at"] is not None:
        return Receipt.ANSWERED
    if row["last_read_seq"] >= seq:
        return Receipt.READ
    if state is not None and state not in WAKE_OPEN:
        return Receipt.FAILED
    if row["accepted_at"] is not None:
        return Receipt.ACCEPTED
    return Receipt.OFFERED if row["offered_at"] is not None else Receipt.STORED
