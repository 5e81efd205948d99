"""Whether what is stored still follows from itself: messages thread by thread, audit events row by row.

A row that was archived is gone and its audit stays: the last event of its chain is `<kind>.archived`.
"""
# ruff: noqa: S608 - tables, columns and conditions are constants of this code

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import groupby

from sqlalchemy import Connection, RowMapping, TextClause, text

from bridge.db.audit import AuditEvent, chain_hash

ROWS_AT_ONCE = 1_000
CARRIERS = ("thread", "wake", "run", "agent", "session")
"""What has a row that carries the head of its audit chain."""
MESSAGE = (
    "thread_id, seq, sender_agent_id, kind, coalesce(event::text, '') AS event, "
    "coalesce(metadata::text, '') AS metadata, body, hash"
)
"""What a message's hash is made of, and the hash."""
_SAID = ("resource_type", "resource_id", "event", "actor", "before", "after", "request_id", "trace_id")


def message_hash(before: bytes, row: RowMapping) -> bytes:
    """The hash of a message over the one before it in its thread."""
    names = ("thread_id", "seq", "sender_agent_id", "kind", "event", "metadata")
    said = "\x1f".join(str(row[name]) for name in names).encode()
    return hashlib.sha256(before + said + hashlib.sha256(row["body"].encode()).digest()).digest()


class Link:
    """Where a walk along the messages, in the order of thread and seq, has come to."""

    def __init__(self) -> None:
        self._thread_id = ""
        self._seq = 0
        self._head = b""

    def broken(self, rows: Iterable[RowMapping]) -> Iterator[str]:
        """The next messages: those that do not follow from the one before."""
        for row in rows:
            if row["thread_id"] != self._thread_id:
                self._thread_id, self._seq, self._head = row["thread_id"], 0, b""
            if row["seq"] != self._seq + 1 or bytes(row["hash"]) != message_hash(self._head, row):
                yield f"message {row['thread_id']} {row['seq']}"
            self._seq, self._head = row["seq"], bytes(row["hash"])


def broken(connection: Connection) -> Iterator[str]:
    """All that does not follow in this database; the connection sees every row of every workspace."""
    streamed = connection.execution_options(yield_per=ROWS_AT_ONCE)
    yield from Link().broken(streamed.execute(_MESSAGES).mappings())
    yield from (
        f"thread {row.thread_id}: its head is not its last message" for row in streamed.execute(_HEADS)
    )
    yield from _broken_audit(streamed.execute(_AUDIT).mappings())
    for kind in CARRIERS:
        for row in streamed.execute(_wrong_heads(kind)):
            yield f"{kind} {row.id}: the head of its audit is not its last audit event"
        for row in streamed.execute(_rowless(kind)):
            yield f"{kind} {row.id}: it is gone, and its audit does not say that it was archived"


_MESSAGES = text(f"SELECT {MESSAGE} FROM messages ORDER BY thread_id, seq")
_HEADS = text("""
SELECT t.thread_id FROM threads t LEFT JOIN messages m ON m.thread_id = t.thread_id AND m.seq = t.last_seq
WHERE t.message_head IS DISTINCT FROM m.hash OR EXISTS (
    SELECT FROM messages x WHERE x.thread_id = t.thread_id AND x.seq > t.last_seq)
""")
_AUDIT = text("SELECT * FROM audit_events ORDER BY workspace_id, resource_type, resource_id, n")


def _broken_audit(rows: Iterable[RowMapping]) -> Iterator[str]:
    for (_, kind, row_id), chain in groupby(
        rows, key=lambda r: (r["workspace_id"], r["resource_type"], r["resource_id"])
    ):
        head: bytes | None = None
        for number, row in enumerate(chain, start=1):
            said = AuditEvent(**{name: row[name] for name in _SAID})
            computed = chain_hash(head, number, row["workspace_id"], said, row["at"])
            if (row["n"], row["prev"], row["hash"]) != (number, head, computed):
                yield f"audit event {kind} {row_id} {row['n']}"
                break
            head = row["hash"]


def _rowless(kind: str) -> TextClause:
    """Chains of rows that are not there, and do not say why."""
    return text(f"""
SELECT id FROM (
    SELECT DISTINCT ON (workspace_id, resource_id) resource_id AS id, event FROM audit_events a
    WHERE resource_type = '{kind}' AND NOT EXISTS (
        SELECT FROM {kind}s r WHERE r.workspace_id = a.workspace_id AND r.{kind}_id = a.resource_id)
    ORDER BY workspace_id, resource_id, n DESC) gone
WHERE event <> '{kind}.archived'
""")


def _wrong_heads(kind: str) -> TextClause:
    """Rows whose head is another than the last event of their chain."""
    return text(f"""
SELECT r.{kind}_id AS id FROM {kind}s r LEFT JOIN LATERAL (
    SELECT n, hash FROM audit_events a WHERE a.workspace_id = r.workspace_id AND a.resource_type = '{kind}'
        AND a.resource_id = r.{kind}_id ORDER BY n DESC LIMIT 1) e ON true
WHERE (r.audit_n, r.audit_head) IS DISTINCT FROM (coalesce(e.n, 0), e.hash)
""")
