"""The database repeats the invariants: enums, impossible rows, what may be there once; and it is what the code says."""
# ruff: noqa: S608 - table and column names are the tests' own

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, pool
from sqlalchemy.exc import IntegrityError

import bridge.db
from bridge.core.states import (
    WAKE_OPEN,
    FindingStatus,
    MessageKind,
    Rung,
    SessionStatus,
    ThreadStatus,
    ThreadType,
    WaitReason,
    WakeState,
)
from bridge.db.migrate import alembic_config, current, head, upgrade
from tests.support.fixtures import Servers
from tests.support.postgres import Owner, fresh_database
from tests.support.world import Clock, World

SQL = Path(bridge.db.__file__).parent / "sql"
ROOT = Path(__file__).resolve().parents[2]
ENUMS: list[tuple[str, str, type[StrEnum]]] = [
    ("threads", "status", ThreadStatus),
    ("threads", "type", ThreadType),
    ("messages", "kind", MessageKind),
    ("findings", "status", FindingStatus),
    ("sessions", "status", SessionStatus),
    ("wakes", "state", WakeState),
    ("wakes", "reason", WaitReason),
    ("wakes", "rung", Rung),
]


def quoted(definition: str) -> set[str]:
    return set(re.findall(r"'(\w+)'", definition))


@pytest.mark.parametrize(("table", "column", "enum"), ENUMS)
def test_a_check_lists_exactly_the_values_of_the_enum(
    owner: Owner, table: str, column: str, enum: type[StrEnum]
) -> None:
    definition = owner.value(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :name",
        name=f"ck_{table}_{column}",
    )
    assert quoted(definition) == {member.value for member in enum}


def test_what_is_partial_to_open_wakes_means_the_cores_open_states(owner: Owner) -> None:
    rows = owner.rows(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'wakes' AND indexdef LIKE '%WHERE%'"
        " AND indexname <> 'ix_wakes_slot'"
    )
    policy = owner.value("SELECT qual FROM pg_policies WHERE policyname = 'keeper' AND tablename = 'wakes'")
    conditions = [row["indexdef"].partition("WHERE")[2] for row in rows] + [policy]
    assert len(conditions) == 4
    for condition in conditions:
        assert quoted(condition) == {state.value for state in WAKE_OPEN}


def test_functions_and_statements_name_exactly_the_open_states(owner: Owner) -> None:
    source = owner.value("SELECT prosrc FROM pg_proc WHERE proname = 'bridge_store'")
    for listed in re.findall(r"state IN \(([^)]*)\)", source):
        assert quoted(listed) == {state.value for state in WAKE_OPEN}


@pytest.fixture
def wake_id(world: World, clock: Clock) -> str:
    """A pending wake: a row that is as it should be."""
    del clock
    return world.pending(world.thread("alice", "bob", thread_id="th_1"))


IMPOSSIBLE = [
    "UPDATE wakes SET state = 'done'",
    "UPDATE wakes SET reason = 'bored'",
    "UPDATE wakes SET rung = 'email'",
    "UPDATE wakes SET state = 'acked'",
    "UPDATE wakes SET state = 'touching'",
    "UPDATE wakes SET due_at = dies_at + interval '1 s'",
    "UPDATE wakes SET target_seq = 0",
    "UPDATE wakes SET offered_seq = -1",
    "UPDATE wakes SET thread_id = 'th_nowhere'",
    "UPDATE threads SET status = 'open'",
    "UPDATE threads SET type = 'chat'",
    "UPDATE threads SET last_seq = -1",
    "UPDATE threads SET turns = -1",
    "UPDATE messages SET seq = 0",
    "UPDATE messages SET kind = 'shout'",
    "UPDATE participants SET last_read_seq = -1",
    'INSERT INTO messages SELECT (jsonb_populate_record(m, \'{"message_id": "other"}\')).* FROM messages m',
    "INSERT INTO messages SELECT (jsonb_populate_record(m, '{\"seq\": 2}')).* FROM messages m",
]


@pytest.mark.parametrize("statement", IMPOSSIBLE)
def test_an_impossible_row_is_refused(wake_id: str, owner: Owner, statement: str) -> None:
    assert wake_id
    with pytest.raises(IntegrityError):
        owner.run(statement)


def copy(owner: Owner, table: str, **changes: Any) -> None:  # noqa: ANN401
    """Insert the table's one row again, changed."""
    row = owner.one(f"SELECT * FROM {table}") | changes
    owner.insert(table, {name: value for name, value in row.items() if not isinstance(value, dict)})


def states(of: Iterable[WakeState]) -> list[str]:
    return sorted(state.value for state in of)


def test_one_wake_is_open_for_an_agent_and_thread(wake_id: str, owner: Owner) -> None:
    for state in states(WAKE_OPEN):
        with pytest.raises(IntegrityError):
            copy(owner, "wakes", wake_id="wake_other", state=state, offering_seq=1)
    copy(owner, "wakes", wake_id="wake_other", state="failed")
    assert owner.value("SELECT count(*) FROM wakes") == 2
    assert wake_id


def test_one_attempt_is_in_flight_in_a_session(world: World, wake_id: str, owner: Owner) -> None:
    world.live("bob")
    world.touching(wake_id)
    with pytest.raises(IntegrityError):
        copy(owner, "attempts", attempt_id="other")
    copy(owner, "attempts", attempt_id="other", session_id="ses_other")
    assert owner.value("SELECT count(*) FROM attempts") == 2


def test_the_migrated_database_is_what_the_tables_in_the_code_say(database_url: str) -> None:
    engine = create_engine(database_url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, bridge.db.all_tables()) == []
        assert current(connection) == head()


def definitions(owner: Owner) -> list[dict[str, Any]]:
    """All that the SQL files make: functions, policies, grants, forced security."""
    found = owner.rows(
        "SELECT proname AS name, pg_get_functiondef(oid) AS text FROM pg_proc "
        "WHERE pronamespace = 'public'::regnamespace ORDER BY 1"
    )
    found += owner.rows(
        "SELECT tablename || '.' || policyname AS name, concat_ws(' ', roles, cmd, qual, with_check) AS text "
        "FROM pg_policies ORDER BY 1"
    )
    found += owner.rows(
        "SELECT relname AS name, concat_ws(' ', relacl, relrowsecurity, relforcerowsecurity, "
        "(SELECT string_agg(concat_ws(' ', attname, attacl), ',' ORDER BY attname) FROM pg_attribute "
        "WHERE attrelid = c.oid AND attacl IS NOT NULL)) AS text "
        "FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
    )
    return found


def test_the_live_functions_and_policies_are_those_of_the_sql_files(owner: Owner) -> None:
    before = definitions(owner)
    assert len(before) > 20
    with owner.engine.begin() as connection:
        for name in ("clock", "post", "redact", "security", "search", "archivist"):
            driver: Any = connection.connection.driver_connection
            driver.execute((SQL / f"{name}.sql").read_text(encoding="utf-8"))
    assert definitions(owner) == before


def test_the_migrations_go_down_and_up_again(servers: Servers) -> None:
    with fresh_database(servers.database_url, template=None) as url:
        upgrade(url)
        owner = Owner(url)
        before = definitions(owner)
        command.downgrade(alembic_config(url), "base")
        left = owner.rows(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        )
        assert [row["relname"] for row in left] == ["alembic_version"]
        assert owner.value("SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace") == 0
        upgrade(url)
        assert definitions(owner) == before
        owner.close()


def test_two_that_migrate_at_once_are_one_after_the_other(servers: Servers) -> None:
    """Who waits holds nothing that an index built CONCURRENTLY would wait for: that was a deadlock."""
    migrate = "import sys; from bridge.db.migrate import upgrade; upgrade(sys.argv[1])"
    with fresh_database(servers.database_url, template=None) as url:
        two = [subprocess.Popen((sys.executable, "-c", migrate, url), cwd=ROOT) for _ in range(2)]
        assert [one.wait(60) for one in two] == [0, 0]
        owner = Owner(url)
        assert owner.value("SELECT version_num FROM alembic_version") == head()
        assert owner.value("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
        owner.close()
