"""With the application's own filter taken away, row-level security alone keeps workspaces apart, on every path."""
# ruff: noqa: S608 - table names are the tests' own

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from bridge.core.errors import BridgeError
from bridge.core.states import Role
from bridge.db import all_tables
from bridge.db.base import TENANT_FREE
from bridge.db.deps import Deps
from tests.support.postgres import Owner
from tests.support.scene import play
from tests.support.walk import OF_THE_SAMPLES, Walker, ids_of, values_of
from tests.support.world import Clock, RecordingGateway, World

TENANT_TABLES = sorted(set(all_tables().tables) - TENANT_FREE)
FILTER = re.compile(r"(?:\b\w+\.)?\bworkspace_id = (?:%\(\w+\)s(?:::VARCHAR)?|[pv]_workspace\b)")
"""The application's filter, in a statement and in a function of the database."""
SECRET = "what nobody else may read"


@dataclass
class Walked:
    """What a walk found: which functions answered with something foreign, and which foreign tables changed."""

    told: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    filters: int = 0


@contextmanager
def no_filter(deps: Deps, owner: Owner, walked: Walked) -> Iterator[None]:
    """Every comparison of a workspace with the caller's is gone from what this process says and from the functions."""
    for row in owner.rows(
        "SELECT pg_get_functiondef(oid) AS text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    ):
        bare, found = FILTER.subn("true", row["text"])
        if found:
            owner.driver(bare)

    def strip(_connection: Any, _cursor: Any, statement: str, params: Any, *_: Any) -> tuple[str, Any]:  # noqa: ANN401
        bare, found = FILTER.subn("true", statement)
        walked.filters += found
        return bare, params

    event.listen(deps.db.engine, "before_cursor_execute", strip, retval=True)
    yield
    event.remove(deps.db.engine, "before_cursor_execute", strip)


def prints(owner: Owner) -> dict[str, str]:
    """What each table holds of workspace ws_2."""
    return {
        table: owner.value(
            f"SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {table} t "
            "WHERE workspace_id = 'ws_2'"
        )
        for table in TENANT_TABLES
    }


GENERATED = ("thread_id", "message_id", "wake_id", "attempt_id", "run_id", "notice_id")
"""Ids that the service makes: nobody else has the same."""


@pytest.fixture
def walk(
    world: World, deps: Deps, owner: Owner, gateway: RecordingGateway, clock: Clock
) -> Callable[[], Walked]:
    """Walks over all there is, as a participant and as an operator of ws_1, with the ids of ws_2."""
    foreign = World(deps, owner, gateway, workspace="ws_2")
    thread_id = play(foreign, clock)
    foreign.post(thread_id, "alice", f"a finding: {SECRET}")
    world.post(world.thread("alice", "bob"), "alice", "a finding of one's own")
    ids = ids_of(owner, "ws_2")
    values = values_of(deps, "ws_2", ids, own=world.workspace)
    secrets = [SECRET, *(ids[name] for name in GENERATED)]

    def go() -> Walked:
        before, found = prints(owner), Walked()
        callers = (world.caller("bob"), world.caller("olivia", Role.OPERATOR))
        walkers = [Walker(deps, caller, ids, values) for caller in callers]
        # Repositories last: they write down ids that they are given, which the lists of one's own then show.
        calls = [call for walker in walkers for call in walker.services()]
        calls += [call for walker in walkers for call in walker.repositories()]
        with no_filter(deps, owner, found):
            for call in calls:
                with suppress(BridgeError, SQLAlchemyError, *OF_THE_SAMPLES):
                    answer = repr(call.go())
                    found.told |= {call.name} if any(secret in answer for secret in secrets) else set()
        after = prints(owner)
        found.changed = {table for table in TENANT_TABLES if before[table] != after[table]}
        return found

    return go


def test_nothing_foreign_is_read_or_written_by_any_command_query_or_repository(
    walk: Callable[[], Walked],
) -> None:
    walked = walk()
    assert walked.told == set()
    assert walked.changed == set()
    assert walked.filters > 100


def test_the_same_walk_reads_and_changes_what_is_foreign_where_there_is_no_row_level_security(
    walk: Callable[[], Walked], owner: Owner
) -> None:
    for table in TENANT_TABLES:
        owner.run(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    walked = walk()
    lists = {"list_threads", "list_wakes", "list_runs", "list_notices", "inbox", "search_messages"}
    ones = {"get_thread", "get_wake", "get_run", "get_summary", "read_messages", "receipts"}
    locks = {"lock", "lock_thread", "lock_run", "lock_open", "lock_attempt", "readable_wake"}
    assert {name.partition(".")[2] for name in walked.told} >= lists | ones | locks
    assert walked.changed >= {"threads", "participants", "wakes", "runs", "sessions", "notices"}
