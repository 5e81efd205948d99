"""What the prompt of an attempt's run says: the threads it offers, as they stand now.

Rules of this file:

- The work is bounded however much the agent has unread: the most urgent threads are named, the first of those looked
  into.
- Row-level security is in force: the attempt of another workspace is not there.
"""
# ruff: noqa: S608 - every part of the statements is a constant of ours

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import text

from bridge.core.errors import NotFound
from bridge.core.prompt import DETAILED_MAX, QUESTIONS_MAX, THREADS_MAX, OfferedThread, Woken, compose
from bridge.core.states import Rung
from bridge.db.deps import Deps
from bridge.db.uow import UnitOfWork
from bridge.db.wake import OPEN_SQL
from bridge.queries.summary import look, questions_to, summary_of
from bridge.queries.threads import FOR_AGENT, UNREAD_MAX

LOOK_BACK = 1000
"""The newest messages of each thread that are looked at."""
KEY_MESSAGES = 12
"""Key messages of a thread, for an agent that knows nothing of what went before."""

_ATTEMPT = text("SELECT agent_id, session_id, rung FROM attempts WHERE attempt_id = :attempt_id")
_THREADS = text(f"""
WITH offered AS (
    SELECT w.thread_id, w.agent_id, x.offered_seq, p.role, p.last_read_seq, count(*) OVER () AS total,
        row_number() OVER (ORDER BY (w.wake_id = a.wake_id) DESC, w.created_at, w.thread_id) AS n
    FROM attempts a JOIN attempt_wakes x ON x.attempt_id = a.attempt_id AND x.left_at IS NULL
    JOIN wakes w ON w.wake_id = x.wake_id AND w.{OPEN_SQL}
    JOIN participants p ON p.thread_id = w.thread_id AND p.agent_id = w.agent_id AND p.last_read_seq < x.offered_seq
    WHERE a.attempt_id = :attempt_id
)
SELECT p.*, u.unread, u.first, u.last
FROM (SELECT * FROM offered ORDER BY n LIMIT :limit) p
LEFT JOIN LATERAL (
    SELECT count(*) AS unread, min(seq) AS first, max(seq) AS last FROM (
        SELECT m.seq FROM messages m WHERE m.thread_id = p.thread_id AND m.seq > p.last_read_seq AND {FOR_AGENT}
        ORDER BY m.seq LIMIT {UNREAD_MAX}) s
) u ON true
ORDER BY p.n
""")


def compose_prompt(deps: Deps, workspace_id: str, attempt_id: str) -> str:
    """The prompt for the run of this attempt, within the policy's `prompt_bytes_max`. Raises NotFound."""
    budget_bytes = deps.policies.current(workspace_id).prompt_bytes_max
    with deps.unit(workspace_id) as uow:
        attempt = uow.run(_ATTEMPT, {"attempt_id": attempt_id}).mappings().one_or_none()
        if attempt is None:
            raise NotFound(attempt_id=attempt_id)
        rung = Rung(attempt["rung"])
        rows = uow.run(_THREADS, {"attempt_id": attempt_id, "limit": THREADS_MAX}).mappings().all()
        threads = tuple(_thread(uow, dict(row), rung) for row in rows)
    total = rows[0]["total"] if rows else 0
    woken = Woken(attempt["agent_id"], attempt["session_id"], rung, threads, total - len(threads))
    return compose(woken, budget_bytes)


def _thread(uow: UnitOfWork, row: dict[str, Any], rung: Rung) -> OfferedThread:
    """One thread; only the first ones are looked into."""
    named = OfferedThread(
        thread_id=row["thread_id"],
        role=row["role"],
        last_read_seq=row["last_read_seq"],
        read_to=max(row["offered_seq"], row["last"] or 0),
        unread=row["unread"],
        first=row["first"],
        last=row["last"],
        more_unread=row["unread"] >= UNREAD_MAX,
    )
    if row["n"] > DETAILED_MAX:
        return named
    looked = look(uow, row["thread_id"], LOOK_BACK)
    questions = questions_to(uow, looked, row["agent_id"], QUESTIONS_MAX + 1)
    return replace(
        named,
        questions=questions[-QUESTIONS_MAX:],
        more_questions=len(questions) > QUESTIONS_MAX,
        summary=summary_of(uow, looked, KEY_MESSAGES if rung is Rung.SPAWN else 0),
    )
