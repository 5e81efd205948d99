"""Hashes, roots and what does not follow: values in, problems out."""

from __future__ import annotations

import hashlib
from functools import partial

import pytest

from bridge.core.audit import (
    Known,
    Link,
    Mark,
    check_anchor,
    check_end,
    check_mark,
    follow,
    merkle_root,
    message_hash,
)

NO_BODY = (b"e", b"m", b"b")


def marks(count: int) -> list[Mark]:
    return [Mark("wake", f"wake_{n}", n, bytes([n])) for n in range(1, count + 1)]


def rfc6962(leaves: list[bytes]) -> bytes:
    """The definition, split at the largest power of two that is less than the count."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + rfc6962(leaves[:split]) + rfc6962(leaves[split:])).digest()


@pytest.mark.parametrize("count", [*range(1, 18), 31, 33])
def test_a_root_is_that_of_rfc_6962(count: int) -> None:
    given = marks(count)
    assert merkle_root(given) == rfc6962([merkle_root([mark]) for mark in given])


def test_a_leaf_is_no_node_and_every_mark_and_its_place_counts() -> None:
    given = marks(3)
    roots = {merkle_root(given), merkle_root(given[::-1]), merkle_root(given[:2]), merkle_root(marks(4))}
    assert len(roots) == 4
    assert check_anchor(1, "ws", merkle_root(given), 3, given) == []
    assert check_anchor(1, "ws", merkle_root(given), 3, given[:2]) != []


def chain(count: int) -> list[Link]:
    links: list[Link] = []
    for n in range(1, count + 1):
        rule = partial(message_hash, header=f"h{n}", digests=NO_BODY)
        links.append(Link("messages", "th", n, rule(links[-1].hash if links else None), rule))
    return links


def told(links: list[Link]) -> list[tuple[int, str]]:
    return [(problem.n, problem.what.split(":")[0]) for problem in follow(links, Known())[0]]


def test_a_whole_chain_has_no_problem_and_ends_at_its_head() -> None:
    links = chain(4)
    problems, known = follow(links, Known())
    assert problems == []
    assert check_end("messages", "th", known, (4, links[-1].hash)) == []


def test_it_says_which_link_is_missing_and_which_was_put_in_anothers_place() -> None:
    one, two, three, four = chain(4)
    assert told([one, three, four]) == [(2, "missing")]
    assert told([three, four]) == [(1, "missing")]
    assert told([one, three, two, four])[0] == (2, "missing")
    second = Link("messages", "th", 2, three.hash, three.follow)
    assert told([one, second, three, four])[0] == (2, "was changed")


def test_an_end_that_was_cut_or_added_to_is_told_from_a_head_that_was_changed() -> None:
    links = chain(3)
    _, known = follow(links[:2], Known())
    assert (
        check_end("messages", "th", known, (3, links[2].hash))[0].what
        == "missing: 3 to 3, cut off at the end"
    )
    assert "head says that 1 is the last" in check_end("messages", "th", known, (1, links[0].hash))[0].what
    assert "one of the two was changed" in check_end("messages", "th", known, (2, b"x"))[0].what
    assert "gone" in check_end("messages", "th", known, None)[0].what


def test_a_mark_is_there_or_was_changed_or_is_missing() -> None:
    (mark,) = marks(1)
    assert check_mark(mark, mark.hash) == []
    assert check_mark(mark, b"y")[0].what == "is not what was marked before"
    assert check_mark(mark, None)[0].what == "missing: it was marked before"
