"""Marks: how far each chain is now, to keep elsewhere; and whether what was marked once is still there."""
# ruff: noqa: S608 - every part of the statements is a constant of ours

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from bridge.core.audit import Mark, Problem, check_mark
from bridge.core.caller import Caller
from bridge.db.audit_proof import is_archived
from bridge.db.deps import Deps


@dataclass(frozen=True, slots=True)
class MarkPlace:
    """Where a page begins: the part, and the last mark in it."""

    part: str
    resource_type: str = ""
    resource_id: str = ""
    n: int = 0


@dataclass(frozen=True, slots=True)
class MarkPage:
    """The heads of all chains of the workspace, and its anchors, as they are at `now`."""

    items: tuple[Mark, ...]
    place: MarkPlace | None
    workspace_id: str
    now: datetime


# One look into the index for each chain, however long the chains are.
_EVENTS = text("""
WITH RECURSIVE chains AS (
    (SELECT resource_type, resource_id, 1 AS i FROM audit_events
    WHERE workspace_id = :workspace_id AND (resource_type, resource_id) > (:resource_type, :resource_id)
    ORDER BY resource_type, resource_id LIMIT 1)
    UNION ALL
    SELECT e.resource_type, e.resource_id, c.i + 1 FROM chains c CROSS JOIN LATERAL (
        SELECT resource_type, resource_id FROM audit_events
        WHERE workspace_id = :workspace_id AND (resource_type, resource_id) > (c.resource_type, c.resource_id)
        ORDER BY resource_type, resource_id LIMIT 1
    ) e WHERE c.i < :limit
)
SELECT c.resource_type, c.resource_id, h.n, h.hash FROM chains c CROSS JOIN LATERAL (
    SELECT n, hash FROM audit_events WHERE workspace_id = :workspace_id AND resource_type = c.resource_type
        AND resource_id = c.resource_id ORDER BY n DESC LIMIT 1
) h ORDER BY c.i
""")
_MESSAGES = text("""
SELECT 'messages' AS resource_type, thread_id AS resource_id, last_seq AS n, message_head AS hash FROM threads
WHERE workspace_id = :workspace_id AND thread_id > :resource_id AND last_seq > 0 ORDER BY thread_id LIMIT :limit
""")
_ANCHORS = text("""
SELECT 'anchors' AS resource_type, workspace_id AS resource_id, n, hash FROM audit_anchors
WHERE workspace_id = :workspace_id AND n > :n ORDER BY n LIMIT :limit
""")
_HEADS = {"events": _EVENTS, "messages": _MESSAGES, "anchors": _ANCHORS}
MARK_PARTS = tuple(_HEADS)
_FOUND = text(f"""
SELECT c.resource_type = 'messages' AND {is_archived("c.resource_id")} AS archived, CASE c.resource_type
    WHEN 'messages' THEN (SELECT hash FROM messages WHERE workspace_id = :workspace_id AND thread_id = c.resource_id
        AND seq = c.n)
    WHEN 'anchors' THEN (SELECT hash FROM audit_anchors WHERE workspace_id = :workspace_id
        AND workspace_id = c.resource_id AND n = c.n)
    ELSE (SELECT hash FROM audit_events WHERE workspace_id = :workspace_id AND resource_type = c.resource_type
        AND resource_id = c.resource_id AND n = c.n) END AS hash
FROM unnest(CAST(:types AS text[]), CAST(:ids AS text[]), CAST(:ns AS bigint[])) WITH ORDINALITY
    AS c (resource_type, resource_id, n, place) ORDER BY c.place
""")


def list_heads(deps: Deps, caller: Caller, place: MarkPlace | None = None, limit: int = 200) -> MarkPage:
    """The next page; of the anchors all are listed, of every other chain its head."""
    here = place or MarkPlace(MARK_PARTS[0])
    params: Mapping[str, Any] = {
        "workspace_id": caller.workspace_id,
        "resource_type": here.resource_type,
        "resource_id": here.resource_id,
        "n": here.n,
        "limit": limit,
    }
    with deps.unit(caller.workspace_id, caller) as uow:
        items = tuple(Mark(**row) for row in uow.run(_HEADS[here.part], params).mappings())
        now = uow.now()
    return MarkPage(items, _after(here.part, items, limit), caller.workspace_id, now)


def _after(part: str, items: Sequence[Mark], limit: int) -> MarkPlace | None:
    if len(items) == limit:
        last = items[-1]
        return MarkPlace(part, last.resource_type, last.resource_id, last.n)
    rest = MARK_PARTS[MARK_PARTS.index(part) + 1 :]
    return MarkPlace(rest[0]) if rest else None


def check_marks(deps: Deps, caller: Caller, marks: Sequence[Mark]) -> tuple[Problem, ...]:
    """Those of the marks that today's chains do not have; messages of an archived thread are gone rightly."""
    asked = {
        "types": [mark.resource_type for mark in marks],
        "ids": [mark.resource_id for mark in marks],
        "ns": [mark.n for mark in marks],
    }
    with deps.unit(caller.workspace_id, caller) as uow:
        found = uow.run(_FOUND, asked | {"workspace_id": caller.workspace_id}).all()
    return tuple(
        problem
        for mark, here in zip(marks, found, strict=True)
        if here.hash is not None or not here.archived
        for problem in check_mark(mark, here.hash)
    )
