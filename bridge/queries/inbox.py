"""What waits for the caller: threads with something unread, and what it is to be told."""
# ruff: noqa: S608 - every part of the statements is a constant of ours

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from bridge.core.caller import Caller
from bridge.core.states import Role
from bridge.db.deps import Deps
from bridge.db.notice import OPERATORS
from bridge.queries.notices import NoticeView
from bridge.queries.threads import FOR_AGENT, UNREAD_MAX

THREADS_MAX = 100
NOTICES_MAX = 20
PROTOCOL = "wait_for_messages"
"""What agents use to ask each other, until they are moved to elicitation."""


@dataclass(frozen=True, slots=True)
class InboxThread:
    """A thread with something unread. `first_unread_seq` is the first message that is for the caller."""

    thread_id: str
    title: str
    status: str
    last_seq: int
    last_read_seq: int
    unread: int
    first_unread_seq: int
    last_sender: str
    last_at: datetime
    wake_id: str | None


@dataclass(frozen=True, slots=True)
class Inbox:
    """`unread` over the listed items; `more` when there are others besides."""

    agent_id: str
    unread: int
    items: tuple[InboxThread, ...]
    more: bool
    notices: tuple[NoticeView, ...]
    elicitations: tuple[object, ...]
    protocol: str


_THREADS = text(f"""
SELECT t.thread_id, t.title, t.status, t.last_seq, p.last_read_seq, u.unread, u.first_unread_seq,
    l.sender_agent_id AS last_sender, l.created_at AS last_at, w.wake_id
FROM participants p JOIN threads t ON t.thread_id = p.thread_id AND t.last_seq > p.last_read_seq
JOIN LATERAL (
    SELECT count(*) AS unread, min(seq) AS first_unread_seq, max(seq) AS last_unread_seq FROM (
        SELECT m.seq FROM messages m WHERE m.thread_id = p.thread_id AND m.seq > p.last_read_seq AND {FOR_AGENT}
        ORDER BY m.seq LIMIT {UNREAD_MAX}) s
) u ON u.unread > 0
JOIN messages l ON l.thread_id = p.thread_id AND l.seq = u.last_unread_seq
LEFT JOIN wakes w ON w.thread_id = p.thread_id AND w.agent_id = p.agent_id
    AND w.state IN ('pending', 'delivering', 'touching', 'waiting')
WHERE p.workspace_id = :workspace_id AND p.agent_id = :agent_id
ORDER BY l.created_at, t.thread_id LIMIT :limit
""")
_NOTICES = text("""
SELECT notice_id, audience, cause, text, thread_id, wake_id, count, first_at, last_at, acked_at, acked_by FROM notices
WHERE workspace_id = :workspace_id AND audience = ANY (CAST(:audiences AS text[])) AND acked_at IS NULL
ORDER BY last_at DESC LIMIT :limit
""")


def inbox(deps: Deps, caller: Caller) -> Inbox:
    """The caller's inbox now: the thread that waits longest first."""
    whose = {"workspace_id": caller.workspace_id, "agent_id": caller.agent_id}
    audiences = [caller.agent_id, *([OPERATORS] if caller.role is Role.OPERATOR else [])]
    with deps.unit(caller.workspace_id, caller) as uow:
        rows = uow.run(_THREADS, whose | {"limit": THREADS_MAX + 1}).mappings()
        threads = [InboxThread(**row) for row in rows]
        rows = uow.run(_NOTICES, whose | {"audiences": audiences, "limit": NOTICES_MAX}).mappings()
        notices = tuple(NoticeView(**row) for row in rows)
    listed = tuple(threads[:THREADS_MAX])
    return Inbox(
        agent_id=caller.agent_id,
        unread=sum(thread.unread for thread in listed),
        items=listed,
        more=len(threads) > THREADS_MAX,
        notices=notices,
        elicitations=(),
        protocol=PROTOCOL,
    )
