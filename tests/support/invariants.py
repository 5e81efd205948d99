"""What must be true of the stored rows at any moment, as SQL that finds what breaks it; each answer should be empty."""
# ruff: noqa: S608 - every part of the statements is a constant

from __future__ import annotations

from typing import Any

from tests.support.postgres import Owner

OPEN = "('pending', 'delivering', 'touching', 'waiting')"

INVARIANTS: dict[str, str] = {
    "a thread's sequence has no gap and ends at its last seq": """
        SELECT t.thread_id FROM threads t LEFT JOIN messages m USING (thread_id) GROUP BY t.thread_id
        HAVING count(m.seq) <> t.last_seq OR coalesce(max(m.seq), 0) <> t.last_seq
    """,
    "messages are in the order of time": """
        SELECT a.thread_id, a.seq FROM messages a JOIN messages b ON b.thread_id = a.thread_id AND b.seq = a.seq + 1
        WHERE b.created_at < a.created_at
    """,
    "no cursor is past the last message": """
        SELECT p.thread_id, p.agent_id FROM participants p JOIN threads t USING (thread_id)
        WHERE p.last_read_seq > t.last_seq
    """,
    "every message has, for each it is for, a wake up to it, or was read, or its thread is not open": f"""
        SELECT m.thread_id, m.seq, p.agent_id FROM messages m
        JOIN threads t ON t.thread_id = m.thread_id AND t.status IN ('active', 'resolved')
        JOIN participants p ON p.thread_id = m.thread_id AND p.agent_id <> m.sender_agent_id
        WHERE m.kind <> 'system' AND m.created_at > p.joined_at
            AND (m.to_agents IS NULL OR p.agent_id = ANY (m.to_agents))
            AND (m.to_role IS NULL OR m.to_role = p.role) AND p.last_read_seq < m.seq
            AND NOT EXISTS (SELECT FROM wakes w WHERE w.thread_id = m.thread_id AND w.agent_id = p.agent_id
                AND w.target_seq >= m.seq AND (w.state IN {OPEN} OR w.state <> 'failed' OR w.offered_seq >= m.seq))
    """,
    "an acked wake was read": """
        SELECT w.wake_id FROM wakes w JOIN participants p USING (thread_id, agent_id)
        WHERE w.state = 'acked' AND w.created_at > p.joined_at AND p.last_read_seq < w.offered_seq
    """,
    "a wake that was needless was read": """
        SELECT w.wake_id FROM wakes w JOIN participants p USING (thread_id, agent_id)
        WHERE w.state = 'already_active' AND w.created_at > p.joined_at AND p.last_read_seq < w.target_seq
    """,
    "an attempt in flight has a wake in it": """
        SELECT x.attempt_id FROM attempts x WHERE x.closed_at IS NULL AND NOT EXISTS (
            SELECT FROM wakes w WHERE w.attempt_id = x.attempt_id AND w.state IN ('touching', 'waiting'))
    """,
    "a wake in an attempt keeps it in flight": """
        SELECT w.wake_id FROM wakes w WHERE w.state IN ('touching', 'waiting') AND NOT EXISTS (
            SELECT FROM attempts x WHERE x.attempt_id = w.attempt_id AND x.closed_at IS NULL)
    """,
    "an open run has the slot that its row names, and no slot is held by anything else": """
        SELECT r.run_id, f.run_id AS of FROM (SELECT * FROM runs WHERE state <> 'ended') r
        FULL JOIN (SELECT * FROM slots WHERE run_id IS NOT NULL) f ON f.run_id = r.run_id
        WHERE r.run_id IS NULL OR f.run_id IS NULL OR (r.host, r.slot) <> (f.host, f.n)
    """,
    "an attempt in flight that starts a process has an open run": """
        SELECT x.attempt_id FROM attempts x WHERE x.closed_at IS NULL AND x.rung IN ('resume', 'spawn')
            AND NOT EXISTS (SELECT FROM runs r WHERE r.attempt_id = x.attempt_id AND r.state <> 'ended')
    """,
    "a run that nobody waits for, and that was not read, is asked to end": """
        SELECT r.run_id FROM runs r JOIN attempts x USING (attempt_id)
        WHERE r.state IN ('starting', 'running') AND x.closed_at IS NOT NULL AND NOT EXISTS (
            SELECT FROM attempt_wakes y WHERE y.attempt_id = x.attempt_id AND y.result IN ('acked', 'already_active'))
    """,
    "a wake's history has no gap and ends at its state": """
        SELECT w.wake_id FROM wakes w JOIN LATERAL (
            SELECT e.to_state, e.from_state, lead(e.from_state) OVER (ORDER BY e.n) AS next,
                row_number() OVER (ORDER BY e.n DESC) AS back FROM wake_events e WHERE e.wake_id = w.wake_id
        ) e ON (e.back = 1 AND e.to_state <> w.state) OR (e.back > 1 AND e.to_state IS DISTINCT FROM e.next)
    """,
    "every wake has a history": """
        SELECT w.wake_id FROM wakes w WHERE NOT EXISTS (SELECT FROM wake_events e WHERE e.wake_id = w.wake_id)
    """,
    "a wake in an open state has an end in sight": f"""
        SELECT wake_id FROM wakes WHERE state IN {OPEN} AND (due_at > dies_at OR dies_at IS NULL)
    """,
    "no wake is open in a thread that is blocked or closed, but those of operators and of hands at work": f"""
        SELECT w.wake_id FROM wakes w JOIN threads t USING (thread_id) LEFT JOIN agents a
            ON a.workspace_id = w.workspace_id AND a.agent_id = w.agent_id
        WHERE t.status IN ('blocked', 'closed') AND w.state IN {OPEN} AND NOT coalesce(a.is_human, false)
            AND (w.state <> 'touching' OR w.cancel IS NULL)
    """,
    "the count of participants is right": """
        SELECT t.thread_id FROM threads t WHERE t.participants <> (
            SELECT count(*) FROM participants p WHERE p.thread_id = t.thread_id)
    """,
    "a key that was kept has its answer": "SELECT key FROM idempotency_keys WHERE response IS NULL",
}


def broken(owner: Owner) -> dict[str, list[dict[str, Any]]]:
    """The invariants that do not hold, with what breaks them."""
    found = {name: owner.rows(sql) for name, sql in INVARIANTS.items()}
    return {name: rows[:5] for name, rows in found.items() if rows}
