"""No statement reads a big table from end to end: of all there are, under the role and the settings of the product.

What modules hold as statements is found in them; what is put together when it is asked is heard while every command,
query and repository function is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

import bridge.db
import bridge.queries
from bridge.core.errors import BridgeError
from bridge.core.states import Role
from bridge.db import all_tables
from bridge.db.deps import Deps
from bridge.db.uow import ACT_AS
from tests.support.plans import SMALL, constants, multiply, partial_indexes, plan_of, read_whole, recorded
from tests.support.postgres import Owner
from tests.support.scene import play
from tests.support.walk import OF_THE_SAMPLES, Walker, ids_of, values_of
from tests.support.world import Clock, World

COPIES = 500
BIG = set(all_tables().tables) - SMALL
PLANNED = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")
HERE = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'wake%'"
BAD = "SELECT count(*) FROM messages WHERE sender_agent_id = %(sender)s"


def planned(connection: Connection, statement: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The plan for the app; of what it may not do, for the archivist, who alone removes anything."""
    try:
        with connection.begin_nested():
            return plan_of(connection, statement, params)
    except psycopg.errors.InsufficientPrivilege:
        with connection.begin_nested() as transaction:
            connection.execute(text(f"SET LOCAL ROLE {ACT_AS['archivist']}"))
            plan = plan_of(connection, statement, params)
            transaction.rollback()
        return plan


@dataclass
class Full:
    """A database with full tables, and what the product says to it: each statement with its name and parameters."""

    deps: Deps
    owner: Owner
    walker: Walker
    said: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)

    def walk(self) -> None:
        """Call everything."""
        for call in (*self.walker.services(), *self.walker.repositories()):
            with suppress(BridgeError, SQLAlchemyError, *OF_THE_SAMPLES):
                call.go()

    def walked_whole(self) -> dict[str, set[str]]:
        """The big tables that are read from end to end, by the name of the statement that would."""
        partial = partial_indexes(self.owner)
        found: dict[str, set[str]] = {}
        with self.deps.db.engine.connect() as connection:
            connection.execute(text("SELECT set_config('app.workspace', 'ws_1', false)"))
            for statement, (name, params) in self.said.items():
                tables = read_whole(planned(connection, statement, params), partial) & BIG
                found |= {name: tables} if tables else {}
        return found

    def scans(self) -> dict[str, int]:
        """How often each big table was read from end to end, as the database counted: a connection tells at its end."""
        self.deps.db.close()
        while self.owner.value(HERE):
            pass
        rows = self.owner.rows("SELECT relname, seq_scan FROM pg_stat_user_tables")
        return {row["relname"]: row["seq_scan"] for row in rows if row["relname"] in BIG}


@pytest.fixture
def full(world: World, deps: Deps, owner: Owner, clock: Clock) -> Full:
    """The scene, many times over in many workspaces."""
    with recorded(deps) as statements:
        thread_id = play(world, clock)
        owner.run(
            "UPDATE messages m SET in_reply_to = (SELECT message_id FROM messages WHERE seq = m.seq - 1) "
            "WHERE kind = 'chat' AND thread_id = :t",
            t=thread_id,
        )
        ids = ids_of(owner, world.workspace)
        values = values_of(deps, world.workspace, ids, own=world.workspace)
        walker = Walker(deps, world.caller("bob"), ids, values)
        full = Full(deps, owner, Walker(deps, world.caller("olivia", Role.OPERATOR), ids, values))
        multiply(owner, COPIES)
        for one in (Full(deps, owner, walker), full):
            one.walk()
    found = {statement: (statement, params) for statement, params in statements.items()}
    for name, statement in constants(bridge.db, bridge.queries):
        found[statement] = (name, statements.get(statement, {}))
    for statement, told in found.items():
        if statement.lstrip().startswith(PLANNED) and "POSTCOMPILE" not in statement:
            full.said[statement] = told
    return full


def test_no_statement_reads_a_big_table_whole(full: Full) -> None:
    assert len(full.said) > 150
    assert full.walked_whole() == {}
    full.said[BAD] = ("planted", {})
    assert full.walked_whole() == {"planted": {"messages"}}
    before = full.scans()
    full.walk()  # what functions of the database do, no plan of a statement shows
    assert full.scans() == before
    with full.deps.unit("ws_1") as uow:
        uow.run(text(BAD.replace("%(sender)s", ":sender")), {"sender": "alice"})
    assert {table for table, count in full.scans().items() if count > before[table]} == {"messages"}
