"""A thread's summary out of the database: bounded reads of what may matter, chosen from by the core.

Rules of this file:

- No statement reads a whole thread: of its messages only the newest `LOOK_BACK` are looked at, and of those only the
  ones that may be shown are read, each to an excerpt's length. The answer says where the look began.
- Who is waited for is decided here, as `bridge.core.summary` defines it, for all participants or for one agent.
"""
# ruff: noqa: S608 - every part of the statements is a constant of ours

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from bridge.core.authority import Action, check
from bridge.core.caller import Caller
from bridge.core.errors import NotFound
from bridge.core.states import FindingStatus, MessageKind, ThreadStatus
from bridge.core.summary import (
    CLOSED_MAX,
    DECISIONS_MAX,
    EXCERPT_CHARS_MAX,
    FINDING_OPEN,
    MESSAGES_DEFAULT,
    OPEN_MAX,
    Decided,
    Finding,
    KeyMessage,
    StatusChange,
    Summary,
    ThreadFacts,
    summarise,
)
from bridge.db.deps import Deps
from bridge.db.uow import UnitOfWork
from bridge.queries.threads import FOR_AGENT, takes_part

LOOK_BACK = 5000
"""The newest messages of a thread that are looked at."""
STATUS_LOOK_BACK = 1000
"""The newest audit events of a thread among which its last change of status is looked for."""
ASKED_MAX = 200
WAITS_FOR_MAX = 20
LINE_DIGITS_MAX = 10
_CHARS = EXCERPT_CHARS_MAX + 1

_THREAD = text("""
SELECT thread_id, title, type, status, last_seq, escalated, stalled, blocked_reason, audit_n
FROM threads WHERE thread_id = :thread_id
""")
_FINDINGS = """
SELECT f.finding_id, f.status, f.reports, f.opened_seq, f.updated_at, m.sender_agent_id AS reported_by,
    m.event ->> 'severity' AS severity, m.event ->> 'file' AS file, m.event ->> 'line' AS line,
    left(coalesce(m.event ->> 'text', m.body, ''), :chars) AS text
FROM (
    SELECT * FROM findings WHERE thread_id = :thread_id AND status = ANY (CAST(:statuses AS text[]))
    ORDER BY {order} LIMIT :limit
) f LEFT JOIN messages m ON m.thread_id = f.thread_id AND m.seq = f.opened_seq
"""
_OPEN = text(_FINDINGS.format(order="opened_seq, finding_id"))
_CLOSED = text(_FINDINGS.format(order="updated_at DESC, opened_seq DESC, finding_id DESC"))
_STATUS = text("""
SELECT a.after ->> 'status' AS status, a.before ->> 'status' AS was, a.actor AS by, a.at,
    left(coalesce(a.after ->> 'reason', (
        SELECT m.body FROM messages m WHERE m.thread_id = :thread_id AND m.seq > :from_seq AND m.kind = 'system'
            AND m.to_agents IS NULL AND m.created_at = a.at ORDER BY m.seq LIMIT 1)), :chars) AS why
FROM audit_events a WHERE a.workspace_id = :workspace_id AND a.resource_type = 'thread' AND a.resource_id = :thread_id
    AND a.n > :from_n AND a.before ->> 'status' IS DISTINCT FROM a.after ->> 'status' AND a.after ? 'status'
ORDER BY a.n DESC LIMIT 1
""")
_RECENT = """recent AS MATERIALIZED (
    SELECT seq, kind, event_type, sender_agent_id, to_agents IS NOT NULL OR to_role IS NOT NULL AS addressed
    FROM messages WHERE thread_id = :thread_id AND seq > :from_seq
)"""
_WAITING = text(f"""
WITH {_RECENT}, spoke AS (
    SELECT sender_agent_id AS agent_id, max(seq) AS seq FROM recent GROUP BY sender_agent_id
), asked AS (
    SELECT seq FROM recent WHERE addressed ORDER BY seq DESC LIMIT :asked
)
SELECT m.seq, (array_agg(p.agent_id ORDER BY p.agent_id))[1:{WAITS_FOR_MAX}] AS waits_for
FROM asked JOIN messages m ON m.thread_id = :thread_id AND m.seq = asked.seq
JOIN participants p ON p.thread_id = :thread_id AND {FOR_AGENT}
LEFT JOIN spoke s ON s.agent_id = p.agent_id
WHERE (CAST(:agent_id AS text) IS NULL OR p.agent_id = :agent_id)
    AND NOT (p.last_read_seq >= m.seq AND coalesce(s.seq, 0) > m.seq)
    AND NOT EXISTS (SELECT FROM messages r WHERE r.in_reply_to = m.message_id AND r.thread_id = m.thread_id
        AND r.sender_agent_id = p.agent_id)
GROUP BY m.seq ORDER BY m.seq DESC LIMIT :limit
""")
_EXCERPTS = """
SELECT m.seq, m.message_id, m.kind, m.event_type, m.sender_agent_id, m.to_agents AS to, m.to_role, m.in_reply_to,
    m.created_at, coalesce(g.is_human, false) AS by_human,
    left(coalesce(nullif(m.body, ''), m.event ->> 'text', m.event ->> 'commit', ''), :chars) AS text
FROM picked JOIN messages m ON m.thread_id = :thread_id AND m.seq = picked.seq
LEFT JOIN agents g ON g.workspace_id = m.workspace_id AND g.agent_id = m.sender_agent_id ORDER BY m.seq
"""
_CANDIDATES = text(f"""
WITH {_RECENT}, picked AS (
    (SELECT seq FROM recent WHERE kind <> 'system' ORDER BY seq DESC LIMIT :count)
    UNION (SELECT seq FROM recent WHERE kind = 'event' ORDER BY seq DESC LIMIT :count)
    UNION (SELECT r.seq FROM recent r JOIN agents a ON a.workspace_id = :workspace_id AND a.agent_id = r.sender_agent_id
        WHERE a.is_human ORDER BY r.seq DESC LIMIT :count)
    UNION (SELECT unnest(CAST(:asked AS bigint[])))
    UNION (SELECT 1)
)
{_EXCERPTS}
""")
_THESE = text(f"WITH picked AS (SELECT unnest(CAST(:asked AS bigint[])) AS seq) {_EXCERPTS}")
_DECISIONS = text(f"""
WITH {_RECENT}, picked AS (
    SELECT seq FROM recent WHERE event_type = 'decision' ORDER BY seq DESC LIMIT :limit
)
SELECT m.seq, m.sender_agent_id, m.created_at, left(coalesce(m.event ->> 'text', m.body), :chars) AS text
FROM picked JOIN messages m ON m.thread_id = :thread_id AND m.seq = picked.seq ORDER BY m.seq
""")


@dataclass(frozen=True, slots=True)
class Looked:
    """A thread's row, and where the look into its messages begins."""

    row: dict[str, Any]
    params: dict[str, Any]


def get_summary(deps: Deps, caller: Caller, thread_id: str, max_messages: int = MESSAGES_DEFAULT) -> Summary:
    """The summary now. Raises NotFound, and Forbidden where the role reads only its own threads."""
    with deps.unit(caller.workspace_id, caller) as uow:
        check(Action.READ_THREAD, caller.role, own=takes_part(uow, caller, thread_id))
        return summary_of(uow, look(uow, thread_id), max_messages)


def look(uow: UnitOfWork, thread_id: str, look_back: int = LOOK_BACK) -> Looked:
    """The thread as it stands. Raises NotFound."""
    row = uow.run(_THREAD, {"thread_id": thread_id}).mappings().one_or_none()
    if row is None:
        raise NotFound(thread_id=thread_id)
    params = {
        "thread_id": thread_id,
        "workspace_id": uow.workspace_id,
        "from_seq": max(0, row["last_seq"] - look_back),
        "from_n": max(0, row["audit_n"] - STATUS_LOOK_BACK),
        "chars": _CHARS,
    }
    return Looked(dict(row), params)


def summary_of(uow: UnitOfWork, looked: Looked, max_messages: int) -> Summary:
    """The summary of a thread that was looked at; without any message, no decisions either."""
    row, params = looked.row, looked.params
    change = uow.run(_STATUS, params).mappings().one_or_none()
    facts = ThreadFacts(
        thread_id=row["thread_id"],
        title=row["title"],
        type=row["type"],
        status=ThreadStatus(row["status"]),
        last_seq=row["last_seq"],
        from_seq=params["from_seq"] + 1,
        escalated=row["escalated"],
        stalled=row["stalled"],
        blocked_reason=row["blocked_reason"],
        last_status=StatusChange(**change) if change else None,
        findings=_findings(uow, params),
        decisions=_decisions(uow, params) if max_messages else (),
        messages=_candidates(uow, params, max_messages) if max_messages else (),
    )
    return summarise(facts, max_messages)


def questions_to(uow: UnitOfWork, looked: Looked, agent_id: str, limit: int) -> tuple[KeyMessage, ...]:
    """The open questions to one agent, the newest `limit`, in order of seq."""
    waits_for = _waiting(uow, looked.params, agent_id, limit)
    rows = uow.run(_THESE, looked.params | {"asked": list(waits_for)}).mappings()
    return tuple(_message(dict(row), waits_for) for row in rows)


def _findings(uow: UnitOfWork, params: dict[str, Any]) -> tuple[Finding, ...]:
    found: list[Finding] = []
    closed = frozenset(FindingStatus) - FINDING_OPEN
    for statement, statuses, most in ((_OPEN, FINDING_OPEN, OPEN_MAX), (_CLOSED, closed, CLOSED_MAX)):
        asked = params | {"statuses": sorted(status.value for status in statuses), "limit": most + 1}
        for row in uow.run(statement, asked).mappings():
            line = row["line"] or ""
            number = int(line) if line.isdecimal() and len(line) <= LINE_DIGITS_MAX else None
            values = dict(row) | {"status": FindingStatus(row["status"]), "line": number}
            found.append(Finding(**values))
    return tuple(found)


def _waiting(
    uow: UnitOfWork, params: dict[str, Any], agent_id: str | None, limit: int
) -> dict[int, tuple[str, ...]]:
    asked = params | {"agent_id": agent_id, "asked": ASKED_MAX, "limit": limit}
    return {row["seq"]: tuple(row["waits_for"]) for row in uow.run(_WAITING, asked).mappings()}


def _candidates(uow: UnitOfWork, params: dict[str, Any], count: int) -> tuple[KeyMessage, ...]:
    """What the core chooses from: enough of each reason to fill the whole summary alone."""
    waits_for = _waiting(uow, params, None, count)
    rows = uow.run(_CANDIDATES, params | {"count": count, "asked": list(waits_for)}).mappings()
    return tuple(_message(dict(row), waits_for) for row in rows)


def _decisions(uow: UnitOfWork, params: dict[str, Any]) -> tuple[Decided, ...]:
    rows = uow.run(_DECISIONS, params | {"limit": DECISIONS_MAX}).mappings()
    return tuple(Decided(**row) for row in rows)


def _message(row: dict[str, Any], waits_for: dict[int, tuple[str, ...]]) -> KeyMessage:
    to = tuple(row["to"]) if row["to"] is not None else None
    values = row | {"kind": MessageKind(row["kind"]), "to": to}
    return KeyMessage(**values, waits_for=waits_for.get(row["seq"], ()))
