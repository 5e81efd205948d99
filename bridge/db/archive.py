"""What a thread consists of, row by row, as text that gives exactly these rows again.

Rules of this file:

- A row is the database's own `to_jsonb` text, never parsed here: numbers keep their digits, times their microseconds.
- One try may offer wakes of several threads. It is archived with each of them, and removed with the last.
- Audit events are no part of a thread: they stay.
"""
# ruff: noqa: S608 - tables, columns and conditions are constants of this code

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import RowMapping, text

from bridge.core.audit import Known, follow
from bridge.core.errors import Conflict, InvalidArgument, NotFound
from bridge.core.retention import Line, Standing
from bridge.core.states import ThreadStatus
from bridge.db import all_tables
from bridge.db.audit_proof import MESSAGE_LINK, message_link
from bridge.db.uow import UnitOfWork
from bridge.db.wake import OPEN_SQL

ROWS_AT_ONCE = 500

_WAKES = "wake_id IN (SELECT wake_id FROM wakes WHERE thread_id = :thread_id)"
_TRIES = (
    "attempt_id IN (SELECT y.attempt_id FROM attempt_wakes y JOIN wakes w USING (wake_id) "
    "WHERE w.thread_id = :thread_id UNION ALL "
    "SELECT x.attempt_id FROM attempts x JOIN wakes w USING (wake_id) WHERE w.thread_id = :thread_id)"
)
PARTS: Mapping[str, tuple[str, str]] = {
    "threads": ("thread_id = :thread_id", "thread_id"),
    "participants": ("thread_id = :thread_id", "agent_id"),
    "messages": ("thread_id = :thread_id", "seq"),
    "findings": ("thread_id = :thread_id", "finding_id"),
    "wakes": ("thread_id = :thread_id", "wake_id"),
    "wake_events": (_WAKES, "wake_id, n"),
    "attempts": (_TRIES, "attempt_id"),
    "attempt_wakes": (_WAKES, "attempt_id, wake_id"),
    "runs": (_TRIES, "run_id"),
}
"""Each table, which of its rows are a thread's, and their order. The order of the tables is that of putting back."""
SHARED = frozenset({"attempts", "runs"})
"""What other threads may hold on to."""
STAYS = frozenset({"notices", "audit_events"})
"""Tables that name threads, or what belongs to them, and that no archive takes anything from."""

_CLOSED = text("""
SELECT thread_id, created_at FROM threads WHERE workspace_id = :workspace_id AND status = 'closed'
    AND created_at < :before AND updated_at < :before
    AND (CAST(:at AS timestamptz) IS NULL OR (created_at, thread_id) > (CAST(:at AS timestamptz), :after))
ORDER BY created_at, thread_id LIMIT :limit
""")
_LOCKS = [
    text(f"SELECT FROM {table} WHERE {rows} ORDER BY {'agent_id, ' * (table == 'wakes')}{order} FOR UPDATE")
    for table, (rows, order) in PARTS.items()
    if table in ("threads", "participants", "findings", "wakes", "attempts", "runs")
]
"""In the order in which everybody locks, so that nobody waits in a circle. Removing begins at its other end."""
_LOOK = text(f"""
SELECT t.status, t.updated_at, t.last_seq,
    (SELECT count(*) FROM wakes WHERE thread_id = t.thread_id AND {OPEN_SQL}) AS open_wakes,
    (SELECT count(*) FROM attempts WHERE closed_at IS NULL AND {_TRIES}) AS open_tries,
    (SELECT count(*) FROM runs WHERE state <> 'ended' AND {_TRIES}) AS open_runs,
    (SELECT count(*) FROM notices n WHERE n.acked_at IS NULL AND (n.thread_id = t.thread_id
        OR n.wake_id IN (SELECT wake_id FROM wakes WHERE thread_id = t.thread_id))) AS open_notices,
    t.audit_n, t.audit_head
FROM threads t WHERE t.thread_id = :thread_id
""")
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
_ROWS = text(
    " UNION ALL ".join(
        f"SELECT {part} AS part, row_number() OVER (ORDER BY {order}) AS n, to_jsonb(t)::text AS row "
        f"FROM {table} t WHERE {rows}"
        for part, (table, (rows, order)) in enumerate(PARTS.items())
    )
    + " ORDER BY part, n"
)
"""All of a thread in one statement: there are many threads, and most of them are small."""


Chain: TypeAlias = tuple[int, bytes | None]
"""How many audit events a row has, and the hash of the last."""
Carrier: TypeAlias = tuple[str, str, int, bytes | None]
"""A row with an audit chain: its kind, its id, its chain."""


@dataclass(frozen=True, slots=True)
class Found:
    """A thread, and the head of its audit chain."""

    standing: Standing
    last_seq: int
    audit_n: int
    audit_head: bytes | None


def closed_threads(
    uow: UnitOfWork, before: datetime, after: tuple[datetime, str] | None, limit: int
) -> list[tuple[datetime, str]]:
    """Closed threads that have not changed since `before`, by birth: the places of the next ones."""
    at, thread_id = after or (None, None)
    params = {
        "workspace_id": uow.workspace_id,
        "before": before,
        "at": at,
        "after": thread_id,
        "limit": limit,
    }
    return [(row.created_at, row.thread_id) for row in uow.run(_CLOSED, params)]


def standing(uow: UnitOfWork, thread_id: str, *, lock: bool = False) -> Found:
    """How the thread stands; `lock`: and will, until this transaction ends. Raises NotFound."""
    if lock:
        uow.run(_ONE_AT_A_TIME, {"name": f"archive\x1f{uow.workspace_id}"})
        for statement in _LOCKS:
            uow.run(statement, {"thread_id": thread_id})
    row = uow.run(_LOOK, {"thread_id": thread_id}).mappings().one_or_none()
    if row is None:
        raise NotFound(thread_id=thread_id)
    names = ("updated_at", "open_wakes", "open_tries", "open_runs", "open_notices")
    found = Standing(status=ThreadStatus(row["status"]), **{name: row[name] for name in names})
    return Found(found, row["last_seq"], row["audit_n"], row["audit_head"])


def rows_of(uow: UnitOfWork, thread_id: str) -> Iterator[Line]:
    """All that the thread consists of, a bounded number of rows in memory at a time."""
    tables, streamed = list(PARTS), {"yield_per": ROWS_AT_ONCE}
    for row in uow.connection.execute(_ROWS, {"thread_id": thread_id}, execution_options=streamed):
        yield Line(tables[row.part], row.row)


# --- taking away ------------------------------------------------------------------------------------------------

_TRY_IDS = text(f"SELECT attempt_id FROM attempts WHERE {_TRIES}")
_LEFT = (
    "attempt_id = ANY (:tries) AND NOT EXISTS (SELECT FROM attempt_wakes y WHERE y.attempt_id = t.attempt_id)"
)
_REMOVE = {
    "attempt_wakes": text(f"DELETE FROM attempt_wakes WHERE {_WAKES}"),
    "runs": text(
        f"DELETE FROM runs t WHERE {_LEFT} RETURNING 'run' AS kind, run_id AS id, audit_n, audit_head"
    ),
    "attempts": text(f"DELETE FROM attempts t WHERE {_LEFT}"),
    "wake_events": text(f"DELETE FROM wake_events WHERE {_WAKES}"),
    "wakes": text(
        "DELETE FROM wakes WHERE thread_id = :thread_id RETURNING 'wake' AS kind, wake_id AS id, audit_n, audit_head"
    ),
    **{
        table: text(f"DELETE FROM {table} WHERE thread_id = :thread_id")
        for table in ("findings", "messages", "participants", "threads")
    },
}
"""In the order in which rows refer to each other, the last first."""


def remove(uow: UnitOfWork, thread_id: str) -> list[Carrier]:
    """Take a locked thread away; the wakes and runs that went with it, and the heads of their audit chains."""
    params = {"thread_id": thread_id, "tries": list(uow.run(_TRY_IDS, {"thread_id": thread_id}).scalars())}
    gone: list[Carrier] = []
    for statement in _REMOVE.values():
        done = uow.run(statement, params)
        if done.returns_rows:
            gone += [(row.kind, row.id, row.audit_n, row.audit_head) for row in done]
    return sorted(gone, key=itemgetter(0, 1))


def note(
    uow: UnitOfWork, row: tuple[str, str], what: str, after: Mapping[str, Any], *, chain: Chain, at: datetime
) -> tuple[int, bytes]:
    """Say in a row's audit chain that it was archived, or restored; the chain's new head."""
    kind, row_id = row
    return uow.audit(uow.said(kind, row_id, f"{kind}.{what}", {}, after), n=chain[0], head=chain[1], at=at)


# --- putting back -----------------------------------------------------------------------------------------------

_LAST_SAID = text("""
SELECT n, hash, prev, event, after, at FROM audit_events WHERE workspace_id = :workspace_id AND resource_type = :kind
    AND resource_id = :id ORDER BY n DESC LIMIT 1
""")
_IS_THERE = text("SELECT EXISTS (SELECT FROM threads WHERE thread_id = :thread_id)")
KINDS = {"threads": "thread", "wakes": "wake", "runs": "run"}
"""The rows that carry an audit chain."""


def is_there(uow: UnitOfWork, thread_id: str) -> bool:
    """Whether the thread is in the database, and nobody puts it back or takes it away meanwhile."""
    uow.run(_ONE_AT_A_TIME, {"name": f"archive\x1f{uow.workspace_id}"})
    return bool(uow.run(_IS_THERE, {"thread_id": thread_id}).scalar_one())


def last_said(uow: UnitOfWork, kind: str, row_id: str) -> RowMapping | None:
    """The last event of a row's audit chain."""
    params = {"workspace_id": uow.workspace_id, "kind": kind, "id": row_id}
    return uow.run(_LAST_SAID, params).mappings().one_or_none()


def put_back(uow: UnitOfWork, lines: Iterable[Line]) -> Iterator[tuple[str, RowMapping]]:
    """Store the rows as they were; gives each one that carries an audit chain, with its kind."""
    for table, group in groupby(lines, key=lambda line: line.table):
        if table not in PARTS:
            raise InvalidArgument(f"the archive has rows of {table[:40]!r}, which is no part of a thread")
        for some in _in_batches(group):
            for row in _insert(uow, table, some):
                yield KINDS[table], row


def _in_batches(lines: Iterable[Line]) -> Iterator[list[str]]:
    some: list[str] = []
    for line in lines:
        some.append(line.row)
        if len(some) == ROWS_AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _insert(uow: UnitOfWork, table: str, rows: Sequence[str]) -> list[RowMapping]:
    """Rows of one table; columns that came later than the archive get their defaults."""
    columns = list(json.loads(rows[0]))
    if unknown := set(columns) - set(all_tables().tables[table].columns.keys()):
        raise Conflict(f"the archive has columns of {table} that this database has not: {sorted(unknown)}")
    listed = ", ".join(f'"{name}"' for name in columns)
    there = " ON CONFLICT DO NOTHING" if table in SHARED else ""
    back = f" RETURNING {KINDS[table]}_id AS id, audit_n, audit_head" if table in KINDS else ""
    statement = text(
        f"INSERT INTO {table} ({listed}) SELECT {listed} FROM jsonb_populate_recordset(NULL::{table}, "
        f"CAST(:rows AS jsonb)){there}{back}"
    )
    done = uow.run(statement, {"rows": f"[{','.join(rows)}]"})
    return list(done.mappings()) if done.returns_rows else []


def go_on(uow: UnitOfWork, kind: str, row: RowMapping, after: Mapping[str, Any]) -> None:
    """The audit chain of a row that was put back goes on where it was archived. Raises Conflict."""
    last = last_said(uow, kind, row["id"])
    if last is None or last["event"] != f"{kind}.archived":
        raise Conflict(f"this database did not archive the {kind} {row['id']}")
    if (last["n"] - 1, last["prev"]) != (row["audit_n"], row["audit_head"]):
        raise Conflict(f"the {kind} {row['id']} was another when this database archived it")
    n, head = note(
        uow, (kind, row["id"]), "restored", after, chain=(last["n"], last["hash"]), at=uow.now(last["at"])
    )
    statement = text(f"UPDATE {kind}s SET audit_n = :n, audit_head = :head WHERE {kind}_id = :id")
    uow.run(statement, {"n": n, "head": head, "id": row["id"]})


# --- whether lines give the rows again --------------------------------------------------------------------------


def unlike(uow: UnitOfWork, lines: Iterable[Line]) -> Iterator[str]:
    """What putting these rows back would make another row of, and messages that do not follow from the one before."""
    for table, group in groupby(lines, key=lambda line: line.table):
        again = text(
            f"SELECT e::text FROM jsonb_array_elements(CAST(:rows AS jsonb)) e "
            f"WHERE to_jsonb(jsonb_populate_record(NULL::{table}, e)) <> e LIMIT 1"
        )
        known = Known()
        for some in _in_batches(group):
            rows = {"rows": f"[{','.join(some)}]"}
            yield from (f"{table} {row[:100]}" for row in uow.run(again, rows).scalars())
            if table == "messages":
                broken, known = follow(map(message_link, uow.run(_MESSAGES, rows).mappings()), known)
                yield from (f"message {one.resource_id} {one.n}: {one.what}" for one in broken)


_MESSAGES = text(
    f"SELECT m.thread_id AS resource_id, {MESSAGE_LINK} "
    "FROM jsonb_populate_recordset(NULL::messages, CAST(:rows AS jsonb)) m ORDER BY m.seq"
)
