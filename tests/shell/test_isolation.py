"""Row-level security: the app's role sees and writes one workspace, the keeper's sees when wakes are due, no more."""
# ruff: noqa: S608 - table and column names are the tests' own

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from bridge.adapters.pubsub import Listeners, Turn
from bridge.db import all_tables
from bridge.db.archive import PARTS, STAYS
from bridge.db.base import TENANT_FREE
from bridge.db.deps import Deps
from bridge.db.uow import Database
from tests.support.postgres import Owner
from tests.support.scene import play
from tests.support.world import Clock, RecordingGateway, World

TABLES = all_tables().tables
TENANT_TABLES = sorted(set(TABLES) - TENANT_FREE)
APPEND_ONLY = ["audit_anchors", "audit_events", "audit_leaves", "messages", "wake_events"]
FORBIDDEN = "42501"


@pytest.fixture
def foreign(deps: Deps, owner: Owner, gateway: RecordingGateway, clock: Clock) -> World:
    """Workspace ws_2, with rows in every table; ws_1 has none."""
    world = World(deps, owner, gateway, workspace="ws_2")
    play(world, clock)
    return world


@contextmanager
def acting(owner: Owner, role: str, workspace: str | None) -> Iterator[Connection]:
    """A transaction as one of the two roles, in a workspace or in none."""
    with owner.engine.connect() as connection, connection.begin() as transaction:
        connection.execute(text(f"SET LOCAL ROLE {role}"))
        if workspace is not None:
            connection.execute(text("SELECT set_config('app.workspace', :ws, true)"), {"ws": workspace})
        yield connection
        transaction.rollback()


def refused(connection: Connection, sql: str, **params: Any) -> bool:  # noqa: ANN401
    """Whether the database says that this role may not."""
    try:
        with connection.begin_nested():
            connection.execute(text(sql), params)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == FORBIDDEN:
            return True
        raise
    return False


def test_every_table_with_a_workspace_is_under_forced_row_level_security(owner: Owner) -> None:
    rows = owner.rows(
        "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS forced, "
        "EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'workspace_id') AS tenant "
        "FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
    )
    assert sorted(row["relname"] for row in rows if row["tenant"]) == TENANT_TABLES
    assert [row["relname"] for row in rows if row["tenant"] and not row["forced"]] == []
    without = {row["relname"] for row in rows if not row["tenant"]}
    assert without == TENANT_FREE | {"alembic_version"}


@pytest.mark.parametrize(
    "role", ["wakebridge_app", "wakebridge_keeper", "wakebridge_search", "wakebridge_archivist"]
)
def test_the_roles_cannot_go_round_it(owner: Owner, role: str) -> None:
    row = owner.one(
        "SELECT rolsuper, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = :role", role=role
    )
    assert row == {"rolsuper": False, "rolbypassrls": False, "rolcanlogin": False}
    owned = owner.value("SELECT count(*) FROM pg_class WHERE relowner = CAST(:role AS regrole)", role=role)
    assert owned == 0


def test_no_foreign_row_is_read_or_written_in_any_table(foreign: World, owner: Owner) -> None:
    assert foreign.workspace == "ws_2"
    for table in TENANT_TABLES:
        row = owner.rows(f"SELECT to_jsonb(t) AS row FROM {table} t WHERE workspace_id = 'ws_2' LIMIT 1")
        assert row, f"the scene leaves nothing in {table}: extend it"
        for workspace in ("ws_1", "", None):
            with acting(owner, "wakebridge_app", workspace) as app:
                seen = app.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
                assert seen == 0, (table, workspace)
                assert refused(
                    app,
                    f"INSERT INTO {table} SELECT * FROM jsonb_populate_record(NULL::{table}, CAST(:row AS jsonb))",
                    row=json.dumps(row[0]["row"]),
                ), (table, workspace)
                for change in (f"UPDATE {table} SET workspace_id = workspace_id", f"DELETE FROM {table}"):
                    if table in APPEND_ONLY:
                        assert refused(app, change), change
                    else:
                        assert app.execute(text(change)).rowcount == 0, (change, workspace)
        with acting(owner, "wakebridge_app", "ws_2") as app:
            assert app.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() > 0, table
            if table not in APPEND_ONLY:
                assert refused(app, f"UPDATE {table} SET workspace_id = 'ws_1'"), table
            assert refused(app, f"TRUNCATE {table} CASCADE"), table


def test_history_is_append_only_for_the_app(foreign: World, owner: Owner) -> None:
    with acting(owner, "wakebridge_app", foreign.workspace) as app:
        for table in APPEND_ONLY:
            assert refused(app, f"DELETE FROM {table}")
            assert refused(app, f"UPDATE {table} SET workspace_id = workspace_id")
        assert refused(app, "ALTER TABLE audit_events DISABLE ROW LEVEL SECURITY")
        assert refused(app, "CREATE TABLE mine (a int)")


def test_the_post_function_stays_in_the_workspace_it_is_called_for(foreign: World, owner: Owner) -> None:
    thread = owner.value("SELECT thread_id FROM threads")
    message = {"message_id": "m", "schema_version": 1, "kind": "chat", "body": "b", "sender": "alice"}
    with acting(owner, "wakebridge_app", "ws_1") as app:
        answer = app.execute(
            text(
                "SELECT bridge_post('ws_1', :thread, CAST(:message AS jsonb), '{w1,w2}', 'r', NULL, NULL, "
                """'{"turns_max": 20, "fan_out_max": 50, "wake_life_s_max": 60, "version": 1}')"""
            ),
            {"thread": thread, "message": json.dumps(message)},
        ).scalar_one()
    assert answer == {"refused": "guard"}
    assert foreign.workspace == "ws_2"


def test_the_keeper_sees_when_open_wakes_are_due_and_may_note_that_they_were_rung(
    foreign: World, owner: Owner
) -> None:
    open_wakes = owner.value("SELECT count(*) FROM wakes WHERE state IN ('pending', 'waiting')")
    closed = owner.value("SELECT count(*) FROM wakes") - open_wakes
    assert open_wakes > 0
    assert closed > 0
    seen = "wake_id, workspace_id, agent_id, host, state, reason, since, accepted_at, due_at, rung_until"
    with acting(owner, "wakebridge_keeper", None) as keeper:
        assert len(keeper.execute(text(f"SELECT {seen} FROM wakes")).all()) == open_wakes
        assert keeper.execute(text("UPDATE wakes SET rung_until = due_at")).rowcount == open_wakes
        workspaces = set(keeper.execute(text("SELECT workspace_id FROM workspaces")).scalars())
        assert foreign.workspace in workspaces
        others = {column.name for column in TABLES["wakes"].columns} - set(seen.split(", "))
        for column in sorted(others):
            assert refused(keeper, f"SELECT {column} FROM wakes"), column
        for column in sorted(others | set(seen.split(", ")) - {"rung_until"}):
            assert refused(keeper, f"UPDATE wakes SET {column} = {column}"), column
        assert refused(keeper, "DELETE FROM wakes")
        for table in sorted(set(TENANT_TABLES) - {"wakes", "workspaces", "runs"}):
            assert refused(keeper, f"SELECT 1 FROM {table}"), table


def test_of_open_runs_the_keeper_sees_where_they_are_and_never_what_they_are_for(
    owner: Owner, foreign: World
) -> None:
    assert foreign.workspace == "ws_2"
    seen = "run_id, workspace_id, agent_id, host, worker, state, boot_id, shim_pid, pid, pid_started, begun_at, kill_at"
    seen += ", end_asked_at, why"
    open_runs = owner.value("SELECT count(*) FROM runs WHERE state <> 'ended'")
    assert open_runs > 0
    with acting(owner, "wakebridge_keeper", None) as keeper:
        assert len(keeper.execute(text(f"SELECT {seen} FROM runs")).all()) == open_runs
        for column in sorted({column.name for column in TABLES["runs"].columns} - set(seen.split(", "))):
            assert refused(keeper, f"SELECT {column} FROM runs"), column
        for change in ("UPDATE runs SET why = why", "DELETE FROM runs"):
            assert refused(keeper, change), change


def test_a_pooled_connection_forgets_the_workspace_of_its_last_transaction(
    foreign: World, database_url: str
) -> None:
    db = Database(database_url, pool_size=1)
    with db.unit(foreign.workspace) as uow:
        assert uow.run(text("SELECT count(*) FROM threads")).scalar_one() == 1
    with db.plain() as connection:
        assert connection.execute(text("SELECT count(*) FROM threads")).scalar_one() == 0
        with pytest.raises(ProgrammingError):
            connection.execute(text("UPDATE audit_events SET n = n"))
    db.close()


def test_news_of_one_workspace_reaches_no_waiter_of_another(broker_url: str) -> None:
    here, there = Listeners(broker_url), Listeners(broker_url)
    with here.wait([("ws_1", "th_1")], 30) as ours, here.wait([("ws_2", "th_1")], 30) as theirs:
        while not here.healthy or Turn.LOOK in (ours.turn(), theirs.turn()):
            pass  # subscribed, which everybody looks after
        there.tell([("ws_2", "th_1")])
        assert theirs.turn() is Turn.LOOK
        assert ours.turn() is Turn.QUIET
    here.close()
    there.close()


def test_every_table_that_names_a_thread_or_what_belongs_to_it_is_archived_or_stays_on_purpose() -> None:
    naming = {
        name
        for name, table in TABLES.items()
        if {"thread_id", "wake_id", "attempt_id", "run_id", "message_id"} & set(table.columns.keys())
    }
    assert naming - {"slots"} == set(PARTS) | (STAYS - {"audit_events"})


def test_the_archivist_reads_every_table_and_removes_nothing_but_threads(owner: Owner) -> None:
    may = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    can = f"{may} AND has_table_privilege('wakebridge_archivist', oid, 'SELECT')"
    assert owner.value(can) == owner.value(may)
    found = owner.rows(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
        "AND has_table_privilege('wakebridge_archivist', oid, 'DELETE')"
    )
    assert {row["relname"] for row in found} == set(PARTS)


def test_the_archivist_sees_one_workspace_or_all_and_removes_only_what_is_in_the_one(
    foreign: World, owner: Owner
) -> None:
    for workspace, sees in (("ws_1", False), ("", False), (None, False), ("ws_2", True), ("*", True)):
        with acting(owner, "wakebridge_archivist", workspace) as archivist:
            for table in TENANT_TABLES:
                seen = archivist.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
                assert (seen > 0) == sees, (table, workspace)
            removed = archivist.execute(text("DELETE FROM findings")).rowcount
            assert (removed > 0) == (workspace == foreign.workspace), workspace
            if workspace == "*":
                again = "SELECT (jsonb_populate_record(e, '{\"n\": 99}')).* FROM audit_events e"
                assert refused(archivist, f"INSERT INTO audit_events {again}")
