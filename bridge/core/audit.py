"""What makes history provable: chains of hashes, Merkle roots over their heads, and what a reader finds broken.

Rules of this file:

- A **chain** is all that happened to one resource, 1..n; each link's hash covers the hash before it and all it says.
  The messages of a thread are a chain of their own, and so are a workspace's anchors.
- A **mark** says that a chain had a hash at n. What was marked once must be there for ever.
- An **anchor** is the Merkle root (RFC 6962: leaves and nodes are told apart by a prefix) over marks.
- Nothing here reads a row: it is handed what is stored, and names what does not follow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

MESSAGES = "messages"
"""The chain of a thread's messages; its n is their seq."""
ANCHORS = "anchors"
"""The chain of a workspace's anchors."""
ARCHIVED = ".archived"
"""A chain that ends with such an event says itself that its row is gone."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Who did what to which row, and what it was before and after."""

    resource_type: str
    resource_id: str
    event: str
    actor: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    request_id: str | None = None
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """This chain had this hash at n."""

    resource_type: str
    resource_id: str
    n: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where: the first n that is not as it was."""

    resource_type: str
    resource_id: str
    n: int
    what: str


@dataclass(frozen=True, slots=True)
class Link:
    """A stored link, and the hash that it should have after a given one. `prev`: what it says itself, if it does."""

    resource_type: str
    resource_id: str
    n: int
    hash: bytes
    follow: Callable[[bytes | None], bytes]
    prev: bytes | None = None
    says_prev: bool = False
    odd: str | None = None


class Known(NamedTuple):
    """How far a chain was followed. `sure` is False where the hash before is not known."""

    n: int = 0
    hash: bytes | None = None
    sure: bool = True


# --- hashes ---------------------------------------------------------------------------------------------------------


def chain_hash(prev: bytes | None, n: int, workspace_id: str, event: AuditEvent, at: datetime) -> bytes:
    """The hash of an event over the one before it and everything it says."""
    said = [
        n,
        workspace_id,
        event.resource_type,
        event.resource_id,
        event.event,
        event.actor,
        event.request_id,
        event.trace_id,
        dict(event.before),
        dict(event.after),
        at.astimezone(UTC).isoformat(),
    ]
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256((prev or b"") + text.encode()).digest()


def message_hash(prev: bytes | None, header: str, digests: Sequence[bytes]) -> bytes:
    """The hash of a message: its header's, its event's, its metadata's and its body's digest after the one before.

    Each part is hashed by itself, so that a part whose text is gone can still be checked by its digest.
    """
    return hashlib.sha256(
        (prev or b"") + hashlib.sha256(header.encode()).digest() + b"".join(digests)
    ).digest()


def anchor_hash(
    prev: bytes | None, n: int, workspace_id: str, root: bytes, leaves: int, at: datetime
) -> bytes:
    """The hash of an anchor over the one before it."""
    said = json.dumps([n, workspace_id, root.hex(), leaves, at.astimezone(UTC).isoformat()])
    return hashlib.sha256((prev or b"") + said.encode()).digest()


def merkle_root(marks: Sequence[Mark]) -> bytes:
    """The root over the marks in their order, as RFC 6962 builds it."""
    level = [hashlib.sha256(b"\x00" + _leaf(mark)).digest() for mark in marks]
    if not level:
        return hashlib.sha256(b"").digest()
    while len(level) > 1:
        # The last one without a partner goes up as it is: the same tree as splitting at the largest power of two.
        pairs = [
            hashlib.sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)
        ]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


def _leaf(mark: Mark) -> bytes:
    return json.dumps([mark.resource_type, mark.resource_id, mark.n, mark.hash.hex()]).encode()


# --- what is broken -------------------------------------------------------------------------------------------------


def follow(links: Iterable[Link], known: Known) -> tuple[list[Problem], Known]:
    """Go along the links of one chain, in order of n: what does not follow, and how far it is known now."""
    problems: list[Problem] = []
    for link in links:
        if link.n != known.n + 1:
            problems.append(_problem(link, _gap(known.n + 1, link.n), n=min(known.n + 1, link.n)))
            known = Known(link.n - 1, link.prev, sure=link.says_prev)
        elif known.sure and link.says_prev and link.prev != known.hash:
            problems.append(
                _problem(link, "does not follow from the one before it: one of the two was changed")
            )
            known = Known(known.n, link.prev)
        elif not known.sure and link.says_prev:
            known = Known(known.n, link.prev)
        if known.sure and link.hash != link.follow(known.hash):
            problems.append(_problem(link, "was changed: it does not hash to what was written"))
        if link.odd:
            problems.append(_problem(link, link.odd))
        known = Known(link.n, link.hash)
    return problems, known


def check_end(
    resource_type: str, resource_id: str, known: Known, head: tuple[int, bytes | None] | None
) -> list[Problem]:
    """Whether the head that is kept elsewhere is the chain's last link; None: what keeps it is gone."""

    def problem(n: int, what: str) -> list[Problem]:
        return [Problem(resource_type, resource_id, n, what)]

    if head is None:
        return problem(known.n, "the row that keeps its head is gone")
    n, last = head
    if n > known.n:
        return problem(known.n + 1, f"missing: {known.n + 1} to {n}, cut off at the end")
    if n < known.n:
        return problem(n + 1, f"the row's head says that {n} is the last: one of the two was changed")
    if last != known.hash:
        return problem(n, "is not the head that its row keeps: one of the two was changed")
    return []


def check_anchor(
    anchor_n: int, workspace_id: str, root: bytes, count: int, marks: Sequence[Mark]
) -> list[Problem]:
    """Whether the kept marks are those that the anchor was made of."""
    if len(marks) == count and merkle_root(marks) == root:
        return []
    return [Problem(ANCHORS, workspace_id, anchor_n, "its root is not that of the marks kept with it")]


def check_mark(mark: Mark, found: bytes | None) -> list[Problem]:
    """Whether what was marked is still there."""
    if found == mark.hash:
        return []
    what = "missing: it was marked before" if found is None else "is not what was marked before"
    return [Problem(mark.resource_type, mark.resource_id, mark.n, what)]


def _gap(wanted: int, n: int) -> str:
    if n < wanted:
        return f"out of order: {n} stands where {wanted} should"
    return f"missing: {wanted}" if n == wanted + 1 else f"missing: {wanted} to {n - 1}"


def _problem(link: Link, what: str, n: int | None = None) -> Problem:
    return Problem(link.resource_type, link.resource_id, link.n if n is None else n, what)
