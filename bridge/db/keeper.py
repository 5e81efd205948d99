"""The keeper's SQL: which open wakes fall due, across workspaces, and that they were rung.

The role `wakebridge_keeper` sees of a wake when it is due and whom to ring, and may change `rung_until` and
nothing else. Its commits may be lost (`synchronous_commit` off): a claim to ring is a lease, ringing twice
does no harm.

A row is validly rung until `rung_until`: one second past its time when it is born due or taken, five when the
broker confirmed the ring. Whoever moves the wake sets it anew, so notes only touch rows that are still due.
"""
# ruff: noqa: S608 - every part of the statements is a constant of ours

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, RowMapping, text

from bridge.core.states import WaitReason, WakeState
from bridge.db.uow import Database
from bridge.db.wake import OPEN_SQL
from bridge.ports.keeper import DueRow

HOST_TERM_S = 20.0
HORIZON_S = 1.2
PER_WORKSPACE = 200
BATCH_MAX = 1000

# bridge_now() is read once: what comes into the horizon meanwhile is taken next time, still before it is due.
_TAKE = text(f"""
WITH clock AS MATERIALIZED (SELECT bridge_now() AS now),
waiting AS (
    SELECT DISTINCT w.workspace_id FROM wakes w, clock
    WHERE w.{OPEN_SQL} AND w.due_at <= clock.now + make_interval(secs => :horizon_s)
        AND (w.rung_until IS NULL OR w.rung_until < clock.now)
),
picked AS (
    SELECT mine.wake_id FROM clock, waiting s, LATERAL (
        SELECT w.wake_id FROM wakes w
        WHERE w.workspace_id = s.workspace_id AND w.{OPEN_SQL}
            AND w.due_at <= clock.now + make_interval(secs => :horizon_s)
            AND (w.rung_until IS NULL OR w.rung_until < clock.now)
        ORDER BY w.due_at LIMIT :per_workspace FOR NO KEY UPDATE SKIP LOCKED
    ) mine LIMIT :batch
)
UPDATE wakes w SET rung_until = greatest(w.due_at, clock.now) + make_interval(secs => 1)
FROM picked, clock WHERE w.wake_id = picked.wake_id
RETURNING w.workspace_id, w.wake_id, w.host, w.state, w.reason, w.accepted_at IS NOT NULL AS accepted,
    extract(epoch FROM w.due_at - clock.now)::float8 AS due_in_s,
    EXISTS (SELECT FROM hosts h WHERE h.host = w.host
        AND h.seen_at > clock.now - make_interval(secs => :term_s)) AS host_seen
""")

_TAKE_OVERDUE = text(f"""
WITH clock AS MATERIALIZED (SELECT bridge_now() AS now),
picked AS (
    SELECT w.wake_id FROM wakes w, clock
    WHERE w.{OPEN_SQL} AND w.due_at <= clock.now - make_interval(secs => 1)
        AND (w.rung_until IS NULL OR w.rung_until < clock.now)
        AND (w.host = :host OR (CAST(:host AS text) IS NULL AND NOT EXISTS (
            SELECT FROM hosts h WHERE h.host = w.host
                AND h.seen_at > clock.now - make_interval(secs => :term_s))))
    ORDER BY w.due_at LIMIT :batch FOR NO KEY UPDATE OF w SKIP LOCKED
)
UPDATE wakes w SET rung_until = clock.now + make_interval(secs => 5)
FROM picked, clock WHERE w.wake_id = picked.wake_id
RETURNING w.workspace_id, w.wake_id, w.host, w.state, w.reason, w.accepted_at IS NOT NULL AS accepted,
    extract(epoch FROM w.due_at - clock.now)::float8 AS due_in_s, CAST(:host AS text) IS NOT NULL AS host_seen
""")

# A row that a hand holds, or has moved on, needs no note: SKIP LOCKED, and only what is still due.
_STILL_DUE = f"""
SELECT wake_id FROM wakes WHERE wake_id = ANY(:wake_ids) AND {OPEN_SQL} AND rung_until IS NOT NULL
    AND due_at <= bridge_now() FOR NO KEY UPDATE SKIP LOCKED
"""
_CONFIRM = text(f"""
WITH due AS ({_STILL_DUE})
UPDATE wakes w SET rung_until = greatest(w.due_at, bridge_now()) + make_interval(secs => 5)
FROM due WHERE w.wake_id = due.wake_id
""")
_CLEAR = text(f"""
WITH due AS ({_STILL_DUE}) UPDATE wakes w SET rung_until = NULL FROM due WHERE w.wake_id = due.wake_id
""")
_OLDEST = text(f"""
SELECT coalesce(extract(epoch FROM bridge_now() - min(due_at)), 0)::float8 FROM wakes
WHERE {OPEN_SQL} AND due_at <= bridge_now()
""")
_OPEN = text(f"SELECT state, count(*) AS n FROM wakes WHERE {OPEN_SQL} GROUP BY state")
_HOSTS = text("SELECT host FROM hosts ORDER BY host LIMIT 1000")
_WORKSPACES = text("SELECT workspace_id FROM workspaces ORDER BY workspace_id LIMIT 10000")
_RELAXED = text("SET LOCAL synchronous_commit = off")


class Keeping:
    """The keeper's view of the database; `db` acts as the keeper's role."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def take_due(self) -> list[DueRow]:
        """Rows that fall due within the horizon and were not rung, some of each workspace."""
        params = {
            "horizon_s": HORIZON_S,
            "per_workspace": PER_WORKSPACE,
            "batch": BATCH_MAX,
            "term_s": HOST_TERM_S,
        }
        with self._transaction() as connection:
            return [_row(row) for row in connection.execute(_TAKE, params).mappings()]

    def take_overdue(self, host: str | None, limit: int) -> list[DueRow]:
        """Rows nobody has rung in time: of this host, or of hosts not seen. They are the caller's for 5 s."""
        params = {"host": host, "batch": limit, "term_s": HOST_TERM_S}
        with self._transaction() as connection:
            return [_row(row) for row in connection.execute(_TAKE_OVERDUE, params).mappings()]

    def confirm(self, wake_ids: Sequence[str]) -> None:
        """The broker has these rings."""
        with self._transaction() as connection:
            connection.execute(_CONFIRM, {"wake_ids": list(wake_ids)})

    def clear(self, wake_ids: Sequence[str]) -> None:
        """The broker has not these rings."""
        with self._transaction() as connection:
            connection.execute(_CLEAR, {"wake_ids": list(wake_ids)})

    def oldest_due_age_s(self) -> float:
        """How long the oldest row that is due has been so; 0 when none is."""
        with self._transaction() as connection:
            return float(connection.execute(_OLDEST).scalar_one())

    def open_by_state(self) -> dict[str, int]:
        """How many wakes are open, by their state."""
        with self._transaction() as connection:
            return {str(row.state): int(row.n) for row in connection.execute(_OPEN)}

    def host_names(self) -> list[str]:
        """Every host there ever was."""
        with self._transaction() as connection:
            return [str(name) for name in connection.execute(_HOSTS).scalars()]

    def workspaces(self) -> list[str]:
        """Every workspace there is."""
        with self._transaction() as connection:
            return [str(name) for name in connection.execute(_WORKSPACES).scalars()]

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._db.plain() as connection:
            connection.execute(_RELAXED)
            yield connection


def _row(row: RowMapping) -> DueRow:
    return DueRow(
        workspace_id=row["workspace_id"],
        wake_id=row["wake_id"],
        host=row["host"],
        host_seen=row["host_seen"],
        state=WakeState(row["state"]),
        reason=WaitReason(row["reason"]),
        accepted=row["accepted"],
        due_in_s=row["due_in_s"],
    )
