"""Proving the audit: every chain followed from its stored rows, page by page, and what does not follow.

Rules of this file:

- A page is one statement, so one moment of the database: what others write meanwhile is never taken for a break.
- A page looks at so many rows and says where the next one begins; nothing is kept between two pages. It begins with the
  last row of the page before, whose hash the next one follows from.
- Hashes are computed here, from what the rows say. Of the parts of a message the database is asked only for digests.
"""
# ruff: noqa: S608 - every part of the statements is a constant of ours

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from bridge.core.audit import (
    ANCHORS,
    ARCHIVED,
    MESSAGES,
    AuditEvent,
    Known,
    Link,
    Mark,
    Problem,
    anchor_hash,
    chain_hash,
    check_anchor,
    check_end,
    check_mark,
    follow,
    message_hash,
)
from bridge.core.errors import InvalidArgument
from bridge.db.anchor_store import LEAVES_MAX
from bridge.db.uow import UnitOfWork

ROWS = {"agent": "agents", "run": "runs", "session": "sessions", "thread": "threads", "wake": "wakes"}
"""The resources whose rows keep the head of their chain, and their tables."""
PAGE_ROWS = 2_000
ANCHORS_MAX = 20
"""Anchors that one page looks at."""
LAST_N = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ProofPlace:
    """Where a page begins: the part, and the last link that was followed in it."""

    part: str
    resource_type: str = ""
    resource_id: str = ""
    n: int = 0


@dataclass(frozen=True, slots=True)
class ProofPage:
    """What was looked at, what is wrong with it, and where to go on; None: that was all."""

    problems: tuple[Problem, ...]
    part: str
    checked: int
    place: ProofPlace | None


def prove(uow: UnitOfWork, place: ProofPlace, limit: int) -> ProofPage:
    """The next page of the proof of this workspace, in a transaction that is open."""
    problems, checked, after = _PROOFS[place.part](uow, place, limit)
    if after is None:
        rest = PARTS[PARTS.index(place.part) + 1 :]
        after = ProofPlace(rest[0]) if rest else None
    return ProofPage(tuple(problems), place.part, checked, after)


def broken_history(connection: Connection, workspace_id: str, limit: int = PAGE_ROWS) -> Iterator[Problem]:
    """What is wrong in a workspace, from end to end, as this transaction sees it."""
    uow = UnitOfWork(connection, workspace_id)
    place: ProofPlace | None = ProofPlace(PARTS[0])
    while place is not None:
        page = prove(uow, place, limit)
        yield from page.problems
        if page.place == place:
            raise RuntimeError(f"the proof does not go on after {place}")
        place = page.place


Proof = tuple[list[Problem], int, ProofPlace | None]
Row = RowMapping
Chain = tuple[str, str]

# --- audit events -----------------------------------------------------------------------------------------------------

_KEPT = " ".join(
    f"WHEN '{name}' THEN (SELECT jsonb_build_array(r.audit_n, encode(r.audit_head, 'hex')) FROM {table} r "
    f"WHERE r.workspace_id = e.workspace_id AND r.{name}_id = e.resource_id)"
    for name, table in ROWS.items()
)
_EVENTS = text(f"""
SELECT e.*, CASE WHEN last THEN CASE resource_type {_KEPT} END END AS kept
FROM (
    SELECT *, (lead(resource_type) OVER w, lead(resource_id) OVER w)
        IS DISTINCT FROM (resource_type, resource_id) AS last
    FROM (
        SELECT * FROM audit_events WHERE workspace_id = :workspace_id
            AND (resource_type, resource_id, n) >= (:resource_type, :resource_id, :n)
        ORDER BY resource_type, resource_id, n LIMIT :most
    ) p WINDOW w AS (ORDER BY resource_type, resource_id, n)
) e ORDER BY resource_type, resource_id, n
""")


def _prove_events(uow: UnitOfWork, place: ProofPlace, limit: int) -> Proof:
    return _walk(uow, _EVENTS, place, limit, _event_link, _events_end)


def _event_link(row: Row) -> Link:
    names = ("resource_type", "resource_id", "event", "actor", "before", "after", "request_id", "trace_id")
    said: dict[str, Any] = {name: row[name] for name in names}
    odd = (
        "has no before or no after: both are always written"
        if None in (row["before"], row["after"])
        else None
    )
    event = AuditEvent(**said | {name: row[name] or {} for name in ("before", "after")})

    def follows(prev: bytes | None) -> bytes:
        return chain_hash(prev, row["n"], row["workspace_id"], event, row["at"])

    return Link(
        row["resource_type"],
        row["resource_id"],
        row["n"],
        row["hash"],
        follows,
        row["prev"],
        says_prev=True,
        odd=odd,
    )


def _events_end(last: Row, known: Known) -> list[Problem]:
    if last["resource_type"] not in ROWS:
        return []
    kept = last["kept"]
    if kept is None and last["event"].endswith(ARCHIVED):
        return []
    head = None if kept is None else (kept[0], bytes.fromhex(kept[1]) if kept[1] else None)
    return check_end(last["resource_type"], last["resource_id"], known, head)


# --- the rows that keep the heads: each has its chain -----------------------------------------------------------------

_BARE = {
    name: text(f"""
SELECT r.id, r.audit_n, (r.audit_n <> 0 OR r.audit_head IS NOT NULL) AND NOT EXISTS (
    SELECT FROM audit_events e WHERE e.workspace_id = :workspace_id AND e.resource_type = '{name}'
        AND e.resource_id = r.id) AS bare
FROM (
    SELECT {name}_id AS id, audit_n, audit_head FROM {table}
    WHERE workspace_id = :workspace_id AND {name}_id > :resource_id ORDER BY {name}_id LIMIT :limit
) r ORDER BY r.id
""")
    for name, table in ROWS.items()
}


def _prove_rows(uow: UnitOfWork, place: ProofPlace, limit: int) -> Proof:
    of = place.resource_type or next(iter(ROWS))
    if of not in ROWS:
        raise InvalidArgument("not a cursor of this list", path="cursor")
    params = {"workspace_id": uow.workspace_id, "resource_id": place.resource_id, "limit": limit}
    rows = uow.run(_BARE[of], params).mappings().all()
    problems = [
        Problem(of, row["id"], 1, f"missing: the whole chain, which its row says has {row['audit_n']}")
        for row in rows
        if row["bare"]
    ]
    if len(rows) == limit:
        return problems, len(rows), ProofPlace("rows", of, rows[-1]["id"])
    rest = list(ROWS)[list(ROWS).index(of) + 1 :]
    return problems, len(rows), ProofPlace("rows", rest[0]) if rest else None


# --- messages ---------------------------------------------------------------------------------------------------------

MESSAGE_LINK = """m.seq AS n, m.hash, jsonb_build_array(m.workspace_id, m.thread_id, m.seq, m.message_id,
            m.schema_version, m.kind, m.event_type, m.sender_agent_id, m.sender_session_id, m.in_reply_to, m.to_agents,
            m.to_role, m.urgent, m.request_id, m.traceparent, (extract(epoch FROM m.created_at) * 1000000)::bigint
        )::text AS header,
        coalesce(m.event_sha256, sha256(convert_to(coalesce(m.event::text, ''), 'utf8'))) AS event_digest,
        coalesce(m.metadata_sha256, sha256(convert_to(coalesce(m.metadata::text, ''), 'utf8'))) AS metadata_digest,
        coalesce(m.body_sha256, sha256(convert_to(m.body, 'utf8'))) AS body_digest"""
"""What `message_link` makes a link of, out of messages `m`."""
_MESSAGES = text(f"""
SELECT 'messages' AS resource_type, t.thread_id AS resource_id, t.last_seq, t.message_head, m.*
FROM (
    SELECT thread_id, last_seq, message_head FROM threads
    WHERE workspace_id = :workspace_id AND thread_id >= :resource_id ORDER BY thread_id LIMIT :most
) t LEFT JOIN LATERAL (
    SELECT {MESSAGE_LINK},
        CASE WHEN m.redacted_at IS NOT NULL THEN m.body = '' AND m.metadata IS NULL
            AND (m.event IS NULL OR m.event = jsonb_build_object('type', m.event_type)) AND EXISTS (
                SELECT FROM audit_events a WHERE a.workspace_id = m.workspace_id AND a.resource_type = 'thread'
                    AND a.resource_id = m.thread_id AND a.event = 'message.redacted' AND a.actor = m.redacted_by
                    AND a.at = m.redacted_at AND a.after @> jsonb_build_object('seq', m.seq,
                        'message_id', m.message_id, 'body_sha256', encode(m.body_sha256, 'hex'),
                        'event_sha256', encode(m.event_sha256, 'hex'),
                        'metadata_sha256', encode(m.metadata_sha256, 'hex'))) END AS redacted_rightly
    FROM messages m WHERE m.thread_id = t.thread_id
        AND (t.thread_id <> :resource_id OR m.seq >= :n) ORDER BY m.seq LIMIT :most
) m ON true ORDER BY t.thread_id, m.n LIMIT :most
""")
_UNAUDITED = "was redacted otherwise than the audit says"


def _prove_messages(uow: UnitOfWork, place: ProofPlace, limit: int) -> Proof:
    return _walk(uow, _MESSAGES, place, limit, _message_link, _messages_end)


def message_link(row: Row, *, odd: str | None = None) -> Link:
    """A stored message as a link of its thread's chain."""
    digests = (row["event_digest"], row["metadata_digest"], row["body_digest"])
    follows = partial(message_hash, header=row["header"], digests=digests)
    return Link(MESSAGES, row["resource_id"], row["n"], row["hash"], follows, odd=odd)


def _message_link(row: Row) -> Link:
    return message_link(row, odd=_UNAUDITED if row["redacted_rightly"] is False else None)


def _messages_end(last: Row, known: Known) -> list[Problem]:
    return check_end(MESSAGES, last["resource_id"], known, (last["last_seq"], last["message_head"]))


# --- one walk along many chains ---------------------------------------------------------------------------------------


def _walk(
    uow: UnitOfWork,
    statement: Any,  # noqa: ANN401  a statement of SQLAlchemy's
    place: ProofPlace,
    limit: int,
    to_link: Callable[[Row], Link],
    at_end: Callable[[Row, Known], list[Problem]],
) -> Proof:
    """Follow the chains from the place on: one row that is known, `limit` new ones, and one to see who goes on."""
    params = {
        "workspace_id": uow.workspace_id,
        "resource_type": place.resource_type,
        "resource_id": place.resource_id,
        "n": place.n,
        "most": limit + 2,
    }
    rows = uow.run(statement, params).mappings().all()
    more = len(rows) == limit + 2
    chains = [(chain, list(found)) for chain, found in groupby(rows[: limit + 1], _chain_of)]
    goes_on = more and chains[-1][0] == _chain_of(rows[-1])
    problems: list[Problem] = []
    checked = 0
    for number, (chain, found) in enumerate(chains):
        known, fresh = Known(), [row for row in found if row["n"] is not None]
        if chain == (place.resource_type, place.resource_id) and place.n == LAST_N:
            continue
        if chain == (place.resource_type, place.resource_id) and place.n:
            known, fresh = _resumed(place, fresh)
        checked += len(fresh)
        broken, known = follow(map(to_link, fresh), known)
        problems += broken
        if not (goes_on and number == len(chains) - 1):
            problems += at_end(found[-1], known)
    if not more:
        return problems, checked, None
    return problems, checked, _next(place.part, chains[-1][1][-1], goes_on=goes_on)


def _resumed(place: ProofPlace, found: list[RowMapping]) -> tuple[Known, list[RowMapping]]:
    """How far the page before came, and what is new."""
    if found and found[0]["n"] == place.n:
        return Known(place.n, found[0]["hash"]), found[1:]
    return Known(place.n, sure=False), found


def _next(part: str, last: Row, *, goes_on: bool) -> ProofPlace:
    return ProofPlace(part, last["resource_type"], last["resource_id"], last["n"] if goes_on else LAST_N)


def _chain_of(row: Row) -> Chain:
    return row["resource_type"], row["resource_id"]


# --- anchors ----------------------------------------------------------------------------------------------------------


def is_archived(thread_id: str) -> str:
    """Whether the audit of a thread ends by saying that it was archived, its messages with it; as SQL."""
    return f"""coalesce((
            SELECT e.event LIKE '%.archived' FROM audit_events e WHERE e.workspace_id = :workspace_id
                AND e.resource_type = 'thread' AND e.resource_id = {thread_id} ORDER BY e.n DESC LIMIT 1
        ), false)"""


_ANCHORS = text(f"""
SELECT w.anchor_n AS last_n, w.anchor_head AS last_hash, a.n, a.root, a.leaves, a.at, a.prev, a.hash,
    l.resource_type, l.resource_id, l.n AS leaf_n, l.hash AS leaf_hash, l.found, l.archived
FROM (VALUES (1)) one LEFT JOIN workspaces w ON w.workspace_id = :workspace_id LEFT JOIN (
    SELECT * FROM audit_anchors WHERE workspace_id = :workspace_id AND n >= :n ORDER BY n LIMIT :anchors
) a ON true LEFT JOIN LATERAL (
    SELECT l.*, CASE WHEN l.resource_type = 'messages' THEN (
            SELECT m.hash FROM messages m WHERE m.workspace_id = :workspace_id AND m.thread_id = l.resource_id
                AND m.seq = l.n)
        ELSE (SELECT e.hash FROM audit_events e WHERE e.workspace_id = :workspace_id
            AND e.resource_type = l.resource_type AND e.resource_id = l.resource_id AND e.n = l.n) END AS found,
        l.resource_type = 'messages' AND {is_archived("l.resource_id")} AS archived
    FROM audit_leaves l WHERE l.workspace_id = :workspace_id AND l.anchor_n = a.n ORDER BY l.place LIMIT :leaves
) l ON true
ORDER BY a.n, l.place
""")


def _prove_anchors(uow: UnitOfWork, place: ProofPlace, limit: int) -> Proof:
    del limit  # an anchor is proved whole
    asked = {"n": place.n, "anchors": ANCHORS_MAX + 1, "leaves": LEAVES_MAX + 1}
    rows = uow.run(_ANCHORS, asked | {"workspace_id": uow.workspace_id}).mappings().all()
    found = [(n, list(leaves)) for n, leaves in groupby(rows, lambda row: row["n"]) if n is not None]
    known = Known()
    fresh = found
    if place.n:
        first_is_known = found and found[0][0] == place.n
        known = Known(place.n, found[0][1][0]["hash"]) if first_is_known else Known(place.n, sure=False)
        fresh = found[1:] if first_is_known else found
    problems: list[Problem] = []
    broken, known = follow([_anchor_link(uow.workspace_id, leaves[0]) for _, leaves in fresh], known)
    problems += broken
    for n, rows_of in fresh:
        problems += _broken_marks(uow.workspace_id, n, rows_of)
    if len(found) == ANCHORS_MAX + 1:
        return problems, len(fresh), ProofPlace("anchors", n=found[-1][0])
    head = None if rows[0]["last_n"] is None else (rows[0]["last_n"], rows[0]["last_hash"])
    if found or head is not None:
        problems += check_end(ANCHORS, uow.workspace_id, known, head)
    return problems, len(fresh), None


def _anchor_link(workspace_id: str, row: Row) -> Link:
    follows = partial(
        anchor_hash,
        n=row["n"],
        workspace_id=workspace_id,
        root=row["root"],
        leaves=row["leaves"],
        at=row["at"],
    )
    return Link(ANCHORS, workspace_id, row["n"], row["hash"], follows, row["prev"], says_prev=True)


def _broken_marks(workspace_id: str, anchor_n: int, rows: Sequence[Row]) -> list[Problem]:
    kept = [row for row in rows if row["leaf_n"] is not None]
    marks = [Mark(row["resource_type"], row["resource_id"], row["leaf_n"], row["leaf_hash"]) for row in kept]
    problems = check_anchor(anchor_n, workspace_id, rows[0]["root"], rows[0]["leaves"], marks)
    for row, mark in zip(kept, marks, strict=True):
        if row["found"] is not None or not row["archived"]:
            problems += check_mark(mark, row["found"])
    return problems


_PROOFS: dict[str, Callable[[UnitOfWork, ProofPlace, int], Proof]] = {
    "events": _prove_events,
    "rows": _prove_rows,
    "messages": _prove_messages,
    "anchors": _prove_anchors,
}
PARTS = tuple(_PROOFS)
"""In this order, each as a whole."""
