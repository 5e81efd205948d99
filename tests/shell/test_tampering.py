"""A thousand tamperings out of a thousand are found: of events, messages, heads, anchors and the marks kept with them.

How: one small history, anchored to its end; each tampering is done as the owner of the database, in a transaction that
the proof reads and that is rolled back. The seed is printed; TAMPER_SEED replays one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Table, and_, func, select

from bridge.commands.anchor_heads import anchor_heads
from bridge.commands.redact_message import redact_message
from bridge.config import inherited_environment
from bridge.core.audit import AuditEvent, chain_hash
from bridge.core.states import Role
from bridge.db import all_tables
from bridge.db.audit_proof import PARTS, ROWS, ProofPlace, prove
from tests.support.audit import problems_in, problems_of
from tests.support.scene import play
from tests.support.world import Clock, World

TABLES = all_tables().tables
EVENTS, MESSAGES, THREADS = TABLES["audit_events"], TABLES["messages"], TABLES["threads"]
ANCHORS, LEAVES, WORKSPACES = TABLES["audit_anchors"], TABLES["audit_leaves"], TABLES["workspaces"]
TAMPERINGS = 1000
Row = dict[str, Any]


@dataclass
class Vandal:
    """Somebody with the owner's rights, who changes one thing at random."""

    connection: Connection
    dice: random.Random
    workspace: str

    def any_of(self, table: Table, *where: Any) -> Row:  # noqa: ANN401  an SQL condition
        """A row of the workspace."""
        mine = table.c.workspace_id == self.workspace
        found = self.connection.execute(
            select(table).where(mine, *where).order_by(*table.primary_key)
        ).mappings()
        return dict(self.dice.choice(found.all()))

    def set(self, table: Table, row: Row, **values: Any) -> None:  # noqa: ANN401  values of any column
        """Change the row."""
        assert any(row[name] != value for name, value in values.items())
        done = self.connection.execute(table.update().where(_is(table, row)).values(**values))
        assert done.rowcount == 1

    def delete(self, table: Table, row: Row) -> None:
        """Remove the row."""
        assert self.connection.execute(table.delete().where(_is(table, row))).rowcount == 1

    def change(self, table: Table, names: tuple[str, ...]) -> None:
        """One field of one row."""
        row, name = self.any_of(table), self.dice.choice(names)
        self.set(table, row, **{name: other(row[name])})

    def swap(self, table: Table, one: Row, two: Row, names: tuple[str, ...]) -> None:
        """What two rows say changes places; where they say the same, their hashes too."""
        if all(one[name] == two[name] for name in names):
            names = (*names, "hash")
        self.set(table, one, **{name: two[name] for name in names})
        self.set(table, two, **{name: one[name] for name in names})

    def cut(self, event: Row) -> None:
        """The chain ends before this event, and its row agrees."""
        of = and_(
            EVENTS.c.resource_type == event["resource_type"], EVENTS.c.resource_id == event["resource_id"]
        )
        mine = and_(EVENTS.c.workspace_id == self.workspace, of)
        self.connection.execute(EVENTS.delete().where(mine, EVENTS.c.n >= event["n"]))
        self.keep_head(event, event["n"] - 1, event["prev"])

    def keep_head(self, event: Row, n: int, head: bytes | None) -> None:
        """Let the row of this chain agree."""
        kind = event["resource_type"]
        if kind in ROWS:
            table = TABLES[ROWS[kind]]
            mine = and_(table.c.workspace_id == self.workspace, table.c[f"{kind}_id"] == event["resource_id"])
            self.connection.execute(table.update().where(mine).values(audit_n=n, audit_head=head))


def _is(table: Table, row: Row) -> Any:  # noqa: ANN401  an SQL condition
    return and_(*(column == row[column.name] for column in table.primary_key))


def other(value: Any) -> Any:  # noqa: ANN401  a value of any column
    """Another value of the same type."""
    more: dict[type, Callable[[Any], Any]] = {
        bool: lambda flag: not flag,
        int: lambda number: number + 1000,
        bytes: lambda digest: b"\x00" + digest[:-1],
        dict: lambda found: found | {"planted": 1},
        list: lambda names: [*names, "mallory"],
        str: lambda words: words + "x",
        datetime: lambda at: at + timedelta(microseconds=1),
    }
    return more[type(value)](value)


# --- what a vandal does -----------------------------------------------------------------------------------------------

SAID = ("event", "actor", "before", "after", "at", "prev", "hash")


def change_an_event(vandal: Vandal) -> None:
    row = vandal.any_of(EVENTS)
    name = vandal.dice.choice([column.name for column in EVENTS.columns if row[column.name] is not None])
    vandal.set(EVENTS, row, **{name: other(row[name])})


def empty_a_field(vandal: Vandal) -> None:
    table = vandal.dice.choice([EVENTS, MESSAGES])
    agents_own = (MESSAGES.c.redacted_at.is_(None), MESSAGES.c.request_id.is_not(None))
    row = vandal.any_of(table, *(agents_own if table is MESSAGES else ()))
    names = [column.name for column in table.columns if column.nullable and row[column.name] is not None]
    vandal.set(table, row, **{vandal.dice.choice(names): None})


def fill_an_empty_field(vandal: Vandal) -> None:
    table = vandal.dice.choice([EVENTS, MESSAGES])
    row = vandal.any_of(table)
    new: Row = {"request_id": "req", "trace_id": "t", "prev": b"p", "in_reply_to": "m", "to_role": "r"}
    new |= {"to_agents": [], "metadata": {}, "event": {"type": "t"}, "traceparent": "t", "event_type": "t"}
    name = vandal.dice.choice([name for name in new if name in row and row[name] is None])
    vandal.set(table, row, **{name: new[name]})


def delete_an_event(vandal: Vandal) -> None:
    vandal.delete(EVENTS, vandal.any_of(EVENTS))


def swap_two_events(vandal: Vandal) -> None:
    second = vandal.any_of(EVENTS, EVENTS.c.n > 1)
    first = dict(second) | {"n": second["n"] - 1}
    found = vandal.connection.execute(select(EVENTS).where(_is(EVENTS, first))).mappings().one()
    names = vandal.dice.choice([SAID, ("event", "actor", "before", "after", "at"), ("event", "hash")])
    vandal.swap(EVENTS, dict(found), second, names)


def cut_the_end_with_its_head(vandal: Vandal) -> None:
    vandal.cut(vandal.any_of(EVENTS))


def rewrite_an_event_and_its_hash(vandal: Vandal) -> None:
    row = vandal.any_of(EVENTS)
    said = AuditEvent(
        row["resource_type"], row["resource_id"], row["event"], "mallory", row["before"], row["after"],
        row["request_id"], row["trace_id"],
    )  # fmt: skip
    digest = chain_hash(row["prev"], row["n"], vandal.workspace, said, row["at"])
    vandal.set(EVENTS, row, actor="mallory", hash=digest)
    if vandal.dice.random() < 0.5:
        vandal.keep_head(row, row["n"], digest)


def add_an_event(vandal: Vandal) -> None:
    last = vandal.any_of(EVENTS)
    row = last | {"n": last["n"] + vandal.dice.choice([1000, 2000]), "actor": "mallory"}
    vandal.connection.execute(EVENTS.insert(), row)


def change_a_message(vandal: Vandal) -> None:
    row = vandal.any_of(MESSAGES)
    digests = {name for name in row if name.endswith("_sha256")}
    fixed = {"thread_id", "redacted_at", "redacted_by"} | (digests if row["redacted_at"] is None else set())
    names = [name for name, value in row.items() if value is not None and name not in fixed]
    name = vandal.dice.choice(names)
    kinds = sorted({"chat", "event", "system"} - {row["kind"]})
    vandal.set(MESSAGES, row, **{name: vandal.dice.choice(kinds) if name == "kind" else other(row[name])})


def delete_a_message(vandal: Vandal) -> None:
    vandal.delete(MESSAGES, vandal.any_of(MESSAGES))


def cut_the_last_message_with_its_head(vandal: Vandal) -> None:
    thread = vandal.any_of(THREADS, THREADS.c.last_seq > 1)
    of = and_(MESSAGES.c.thread_id == thread["thread_id"], MESSAGES.c.seq >= thread["last_seq"] - 1)
    before, last = vandal.connection.execute(select(MESSAGES).where(of).order_by(MESSAGES.c.seq)).mappings()
    vandal.delete(MESSAGES, dict(last))
    vandal.set(THREADS, thread, last_seq=before["seq"], message_head=before["hash"])


def swap_two_messages(vandal: Vandal) -> None:
    second = vandal.any_of(MESSAGES, MESSAGES.c.seq > 1, MESSAGES.c.body != "")
    first = select(MESSAGES).where(_is(MESSAGES, second | {"seq": second["seq"] - 1}))
    one = dict(vandal.connection.execute(first).mappings().one())
    vandal.swap(
        MESSAGES, one, second, ("body", "hash") if vandal.dice.random() < 0.5 else ("sender_agent_id", "body")
    )


def redact_without_the_audit(vandal: Vandal) -> None:
    row = vandal.any_of(MESSAGES, MESSAGES.c.redacted_at.is_(None))
    vandal.connection.execute(select(func.set_config("app.workspace", vandal.workspace, True)))
    at = row["created_at"]
    vandal.connection.execute(select(func.bridge_redact(row["thread_id"], row["seq"], "olivia", at)))


def change_a_redaction(vandal: Vandal) -> None:
    row = vandal.any_of(MESSAGES, MESSAGES.c.redacted_at.is_not(None))
    name = vandal.dice.choice(["redacted_at", "redacted_by", "body", "body_sha256", "event_sha256"])
    vandal.set(MESSAGES, row, **{name: other(row[name])})


def change_a_head(vandal: Vandal) -> None:
    kind = vandal.dice.choice(sorted(set(ROWS) - {"run"}))  # the scene's run was put there without a chain
    table = TABLES[ROWS[kind]]
    row = vandal.any_of(table, table.c.audit_n > 0)
    name = vandal.dice.choice(["audit_n", "audit_head"])
    vandal.set(table, row, **{name: other(row[name])})


def change_the_head_of_messages(vandal: Vandal) -> None:
    row = vandal.any_of(THREADS)
    name = vandal.dice.choice(["message_head", "last_seq"])
    vandal.set(THREADS, row, **{name: other(row[name])})


def change_an_anchor(vandal: Vandal) -> None:
    vandal.connection.exec_driver_sql(
        "ALTER TABLE audit_leaves DROP CONSTRAINT fk_audit_leaves_workspace_id_anchor_n"
    )
    vandal.change(ANCHORS, ("root", "leaves", "at", "hash", "n"))


def delete_an_anchor(vandal: Vandal) -> None:
    row = vandal.any_of(ANCHORS)
    mine = and_(LEAVES.c.workspace_id == vandal.workspace, LEAVES.c.anchor_n == row["n"])
    vandal.connection.execute(LEAVES.delete().where(mine))
    vandal.delete(ANCHORS, row)


def change_a_mark(vandal: Vandal) -> None:
    vandal.change(LEAVES, ("resource_id", "resource_type", "n", "hash"))


def delete_a_mark(vandal: Vandal) -> None:
    vandal.delete(LEAVES, vandal.any_of(LEAVES))


def swap_two_marks(vandal: Vandal) -> None:
    one = vandal.any_of(LEAVES)
    two = vandal.any_of(LEAVES, LEAVES.c.anchor_n == one["anchor_n"], LEAVES.c.place != one["place"])
    vandal.set(LEAVES, one, place=-1)
    vandal.set(LEAVES, two, place=one["place"])
    vandal.set(LEAVES, one, place=two["place"])


def change_the_head_of_anchors(vandal: Vandal) -> None:
    vandal.change(WORKSPACES, ("anchor_n", "anchor_head"))


ACTS: tuple[Callable[[Vandal], None], ...] = (
    change_an_event,
    empty_a_field,
    fill_an_empty_field,
    delete_an_event,
    swap_two_events,
    cut_the_end_with_its_head,
    rewrite_an_event_and_its_hash,
    add_an_event,
    change_a_message,
    delete_a_message,
    cut_the_last_message_with_its_head,
    swap_two_messages,
    redact_without_the_audit,
    change_a_redaction,
    change_a_head,
    change_the_head_of_messages,
    change_an_anchor,
    delete_an_anchor,
    change_a_mark,
    delete_a_mark,
    swap_two_marks,
    change_the_head_of_anchors,
)


# --- what is found ----------------------------------------------------------------------------------------------------


def anchored_history(world: World, clock: Clock) -> str:
    """A scene with a redaction in it, anchored twice, to its end."""
    thread = play(world, clock)
    anchor_heads(world.deps, world.workspace)
    world.post(thread, "bob", "the key is hunter2", to=("alice",), metadata={"key": "hunter2"})
    redact_message(world.deps, world.caller("olivia", Role.OPERATOR), thread, 1, "a secret")
    world.post(thread, "alice", "thanks", urgent=True)
    anchor_heads(world.deps, world.workspace)
    return thread


def test_a_thousand_tamperings_out_of_a_thousand_are_found(world: World, clock: Clock) -> None:
    anchored_history(world, clock)
    assert problems_of(world) == []
    seed = int(inherited_environment().get("TAMPER_SEED") or random.SystemRandom().randrange(2**32))
    print(f"TAMPER_SEED={seed}")
    dice = random.Random(seed)
    missed: Counter[str] = Counter()
    with world.owner.engine.connect() as connection:
        for number in range(TAMPERINGS):
            act = ACTS[number % len(ACTS)]
            with connection.begin() as transaction:
                act(Vandal(connection, dice, world.workspace))
                missed[act.__name__] += not problems_in(connection, world.workspace)
                transaction.rollback()
    assert +missed == Counter(), f"TAMPER_SEED={seed}"
    assert problems_of(world) == []


def test_an_end_that_was_cut_off_with_its_head_is_missed_only_from_the_next_anchor_on(
    world: World, clock: Clock
) -> None:
    thread = anchored_history(world, clock)
    world.post(thread, "bob", "after the anchor")
    with world.owner.engine.connect() as connection, connection.begin() as transaction:
        cut_the_last_message_with_its_head(Vandal(connection, random.Random(1), world.workspace))
        assert problems_in(connection, world.workspace) == [], "no anchor has it yet: the page says so"
        transaction.rollback()
    assert anchor_heads(world.deps, world.workspace) == (1, False)
    with world.owner.engine.connect() as connection, connection.begin() as transaction:
        cut_the_last_message_with_its_head(Vandal(connection, random.Random(1), world.workspace))
        (problem,) = problems_in(connection, world.workspace)
        transaction.rollback()
    assert (problem.resource_type, problem.resource_id) == ("messages", thread)
    assert problem.what == "missing: it was marked before"


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_the_proof_says_the_same_in_pages_of_any_size(world: World, clock: Clock, limit: int) -> None:
    thread = anchored_history(world, clock)
    assert problems_of(world, limit) == []
    world.owner.run("UPDATE audit_events SET actor = 'mallory' WHERE resource_type = 'wake' AND n = 2")
    world.owner.run("DELETE FROM messages WHERE thread_id = :t AND seq = 3", t=thread)
    world.owner.run("DELETE FROM audit_events WHERE resource_type = 'session'")
    found = problems_of(world)
    assert len(found) >= 4
    assert problems_of(world, limit) == found


def test_the_proof_counts_each_row_once_whatever_the_pages(world: World, clock: Clock) -> None:
    anchored_history(world, clock)
    there = {
        "events": world.owner.value("SELECT count(*) FROM audit_events"),
        "messages": world.owner.value("SELECT count(*) FROM messages"),
        "anchors": world.owner.value("SELECT count(*) FROM audit_anchors"),
    }
    for limit in (1, 5, 1000):
        counted: Counter[str] = Counter()
        with world.deps.unit(world.workspace) as uow:
            place: ProofPlace | None = ProofPlace(PARTS[0])
            while place is not None:
                page = prove(uow, place, limit)
                counted[page.part] += page.checked
                place = page.place
        assert {part: counted[part] for part in there} == there


def test_what_is_written_meanwhile_is_no_break(world: World, clock: Clock) -> None:
    thread = anchored_history(world, clock)
    with world.owner.engine.connect() as connection:
        for number in range(3):
            world.post(thread, "alice", f"message {number}")
            assert problems_in(connection, world.workspace, limit=5) == []
