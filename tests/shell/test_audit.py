"""The chains: audit per row, messages per thread; what they say can be computed again from the stored rows."""
# ruff: noqa: S608 - table and column names are the tests' own

from __future__ import annotations

import hashlib
from itertools import groupby

from bridge.db.audit import AuditEvent, chain_hash
from tests.support.postgres import Owner
from tests.support.scene import play
from tests.support.world import Clock, World


def broken_chains(owner: Owner) -> list[str]:
    """Audit events that do not follow from the one before, and rows whose head is not the last event."""
    rows = owner.rows("SELECT * FROM audit_events ORDER BY workspace_id, resource_type, resource_id, n")
    broken: list[str] = []
    heads: dict[tuple[str, str, str], tuple[int, bytes]] = {}
    for key, chain in groupby(rows, lambda r: (r["workspace_id"], r["resource_type"], r["resource_id"])):
        previous: bytes | None = None
        for number, row in enumerate(chain, start=1):
            names = (
                "resource_type",
                "resource_id",
                "event",
                "actor",
                "before",
                "after",
                "request_id",
                "trace_id",
            )
            said = AuditEvent(**{name: row[name] for name in names})
            computed = chain_hash(previous, number, row["workspace_id"], said, row["at"])
            if (row["n"], row["prev"], row["hash"]) != (number, previous, computed):
                broken.append(f"{key} {number}")
            previous = row["hash"]
            heads[key] = (number, row["hash"])
    return broken + _wrong_heads(owner, heads)


def _wrong_heads(owner: Owner, heads: dict[tuple[str, str, str], tuple[int, bytes]]) -> list[str]:
    broken: list[str] = []
    for kind in ("thread", "wake", "agent", "session", "run"):
        for row in owner.rows(f"SELECT workspace_id, {kind}_id AS id, audit_n, audit_head FROM {kind}s"):
            expected = heads.get((row["workspace_id"], kind, row["id"]), (0, None))
            if (row["audit_n"], row["audit_head"]) != expected:
                broken.append(f"{kind} {row['id']}: its head is not its last event")
    return broken


def broken_messages(owner: Owner) -> list[str]:
    """Threads whose messages do not hash to the thread's head, computed from the stored rows alone."""
    broken = []
    for thread in owner.rows("SELECT thread_id, message_head FROM threads"):
        head = b""
        messages = owner.rows(
            "SELECT thread_id, seq, sender_agent_id, kind, coalesce(event::text, '') AS event, "
            "coalesce(metadata::text, '') AS metadata, body, hash FROM messages WHERE thread_id = :t ORDER BY seq",
            t=thread["thread_id"],
        )
        for row in messages:
            names = ("thread_id", "seq", "sender_agent_id", "kind", "event", "metadata")
            said = "\x1f".join(str(row[name]) for name in names).encode()
            head = hashlib.sha256(head + said + hashlib.sha256(row["body"].encode()).digest()).digest()
            if row["hash"] != head:
                broken.append(f"{row['thread_id']} {row['seq']}")
                head = row["hash"]
        if messages and thread["message_head"] != head:
            broken.append(f"{thread['thread_id']}: head")
    return broken


def test_every_audit_chain_verifies_and_ends_at_its_rows_head(world: World, clock: Clock) -> None:
    play(world, clock)
    assert world.owner.value("SELECT count(DISTINCT resource_type) FROM audit_events") >= 6
    assert broken_chains(world.owner) == []


def test_a_changed_audit_event_is_found(world: World, clock: Clock) -> None:
    play(world, clock)
    world.owner.run("UPDATE audit_events SET actor = 'mallory' WHERE n = 1 AND resource_type = 'thread'")
    assert len(broken_chains(world.owner)) == 1


def test_a_threads_messages_verify_from_the_stored_rows_alone(world: World, clock: Clock) -> None:
    play(world, clock)
    assert world.owner.value("SELECT count(DISTINCT kind) FROM messages") == 3
    assert broken_messages(world.owner) == []


def test_a_changed_message_is_found(world: World, clock: Clock) -> None:
    thread = play(world, clock)
    world.owner.run("UPDATE messages SET body = 'never said' WHERE thread_id = :t AND seq = 2", t=thread)
    assert broken_messages(world.owner) == [f"{thread} 2"]


def test_every_status_and_every_end_of_a_wake_is_audited(world: World, clock: Clock) -> None:
    thread = play(world, clock)
    events = {
        (row["resource_type"], row["event"])
        for row in world.owner.rows("SELECT resource_type, event FROM audit_events")
    }
    assert {
        ("thread", "thread.blocked"),
        ("thread", "thread.active"),
        ("wake", "wake.touching"),
        ("wake", "wake.failed"),
        ("wake", "wake.retried"),
        ("wake", "wake.already_active"),
        ("wake", "wake.cancelled"),
        ("agent", "agent.changed"),
        ("session", "session.attached"),
    } <= events
    assert ("wake", "wake.delivering") not in events, "claims are in the wake's own history"
    unaudited = world.owner.rows(
        "SELECT wake_id FROM wakes w WHERE state IN ('acked', 'already_active', 'cancelled', 'failed') "
        "AND NOT EXISTS (SELECT FROM audit_events a WHERE a.resource_id = w.wake_id AND a.event = 'wake.' || w.state)"
    )
    assert unaudited == []
    assert thread
