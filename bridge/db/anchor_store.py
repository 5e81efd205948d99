"""Anchors: which chains have moved since they were anchored, and the append-only rows of an anchor.

Rules of this file:

- One hand at a time anchors a workspace: its row is locked, and keeps the head of the chain of anchors.
- An event may be committed a little after its time. So each look goes back by `OVERLAP`, longer than a transaction
  lives, and leaves out what is anchored already.
- The oldest first, and so many at a time: after a long standstill anchors follow each other until all is covered.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from bridge.core.audit import Mark, anchor_hash, merkle_root
from bridge.db.audit import audit_anchors, audit_leaves
from bridge.db.uow import UnitOfWork

MOVED_MAX = 1_000
"""Events and messages that one anchor looks at, each."""
LEAVES_MAX = 2 * MOVED_MAX
OVERLAP = timedelta(seconds=60)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LastAnchor:
    """The head of the workspace's anchors, and up to when everything is anchored."""

    n: int
    hash: bytes | None
    anchored_to: datetime


@dataclass(frozen=True, slots=True)
class Moved:
    """The heads that no anchor has yet, and up to when this is all of them."""

    marks: tuple[Mark, ...]
    seen_to: datetime
    more: bool


_HOLD = text("""
SELECT anchor_n, anchor_head, anchored_to FROM workspaces WHERE workspace_id = :workspace_id FOR NO KEY UPDATE
""")
# A range with two ends: of one with a single end the planner thinks that it may be a third of the table.
_EVENTS = text("""
SELECT resource_type, resource_id, at FROM audit_events e
WHERE workspace_id = :workspace_id AND at BETWEEN :since AND :now AND NOT EXISTS (
    SELECT FROM audit_leaves l WHERE l.workspace_id = e.workspace_id AND l.resource_type = e.resource_type
        AND l.resource_id = e.resource_id AND l.n >= e.n)
ORDER BY at LIMIT :most
""")
_HEADS = text("""
SELECT c.resource_type, c.resource_id, h.n, h.hash
FROM unnest(CAST(:types AS text[]), CAST(:ids AS text[])) AS c (resource_type, resource_id) CROSS JOIN LATERAL (
    SELECT n, hash FROM audit_events e WHERE e.workspace_id = :workspace_id AND e.resource_type = c.resource_type
        AND e.resource_id = c.resource_id ORDER BY n DESC LIMIT 1
) h
""")
_MESSAGES = text("""
SELECT thread_id AS resource_id, created_at AS at FROM messages m
WHERE workspace_id = :workspace_id AND created_at BETWEEN :since AND :now AND NOT EXISTS (
    SELECT FROM audit_leaves l WHERE l.workspace_id = m.workspace_id AND l.resource_type = 'messages'
        AND l.resource_id = m.thread_id AND l.n >= m.seq)
ORDER BY created_at LIMIT :most
""")
_MESSAGE_HEADS = text("""
SELECT 'messages' AS resource_type, t.thread_id AS resource_id, h.n, h.hash
FROM unnest(CAST(:ids AS text[])) AS t (thread_id) CROSS JOIN LATERAL (
    SELECT seq AS n, hash FROM messages m WHERE m.thread_id = t.thread_id ORDER BY seq DESC LIMIT 1
) h
""")
_STORE_HEAD = text("""
UPDATE workspaces SET anchor_n = :n, anchor_head = :head, anchored_to = :anchored_to WHERE workspace_id = :workspace_id
""")


def hold_anchors(uow: UnitOfWork) -> LastAnchor | None:
    """The workspace's last anchor, and nobody else makes one until this transaction ends. None: it is not served."""
    row = uow.run(_HOLD, {"workspace_id": uow.workspace_id}).mappings().one_or_none()
    if row is None:
        return None
    return LastAnchor(row["anchor_n"], row["anchor_head"], row["anchored_to"] or _BEGINNING)


def moved_heads(uow: UnitOfWork, last: LastAnchor, now: datetime) -> Moved:
    """The heads of the chains that have moved since the last anchor, the longest waiting first; at most LEAVES_MAX."""
    params = {
        "workspace_id": uow.workspace_id,
        "since": last.anchored_to - OVERLAP,
        "now": now,
        "most": MOVED_MAX,
    }
    events = uow.run(_EVENTS, params).mappings().all()
    messages = uow.run(_MESSAGES, params).mappings().all()
    chains = sorted({(row["resource_type"], row["resource_id"]) for row in events})
    threads = sorted({row["resource_id"] for row in messages})
    asked = {"types": [of for of, _ in chains], "ids": [name for _, name in chains]}
    rows = uow.run(_HEADS, {"workspace_id": uow.workspace_id} | asked).mappings().all()
    rows = [*rows, *uow.run(_MESSAGE_HEADS, {"ids": threads}).mappings()]
    marks = [Mark(row["resource_type"], row["resource_id"], row["n"], row["hash"]) for row in rows]
    full = [found[-1]["at"] for found in (events, messages) if len(found) == MOVED_MAX]
    order = sorted(marks, key=lambda mark: (mark.resource_type, mark.resource_id))
    return Moved(tuple(order), min([now, *full]), more=bool(full))


def store_anchor(uow: UnitOfWork, last: LastAnchor, moved: Moved, now: datetime) -> None:
    """The next anchor, over these marks."""
    root, n = merkle_root(moved.marks), last.n + 1
    digest = anchor_hash(last.hash, n, uow.workspace_id, root, len(moved.marks), now)
    anchor: dict[str, Any] = {
        "workspace_id": uow.workspace_id,
        "n": n,
        "root": root,
        "leaves": len(moved.marks),
    }
    uow.run(audit_anchors.insert(), anchor | {"at": now, "prev": last.hash, "hash": digest})
    leaves = [
        {
            "workspace_id": uow.workspace_id,
            "resource_type": mark.resource_type,
            "resource_id": mark.resource_id,
            "n": mark.n,
            "hash": mark.hash,
            "anchor_n": n,
            "place": place,
        }
        for place, mark in enumerate(moved.marks)
    ]
    uow.connection.execute(audit_leaves.insert(), leaves)
    head = {"workspace_id": uow.workspace_id, "n": n, "head": digest, "anchored_to": moved.seen_to}
    uow.run(_STORE_HEAD, head)
