"""Full tables, and how Postgres would carry out each statement there is on them."""
# ruff: noqa: S608 - names of tables and columns are ours

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import ModuleType
from typing import Any

import psycopg
from sqlalchemy import ClauseElement, Connection, Executable, Table, event, text
from sqlalchemy.dialects.postgresql.psycopg import dialect as dialect_of
from sqlalchemy.exc import CompileError

from bridge.db import all_tables
from bridge.db.base import TENANT_FREE
from bridge.db.deps import Deps
from tests.support.postgres import Owner

SMALL = TENANT_FREE | {"workspaces", "alembic_version"}
"""Tables with a row for a host, a tick or a workspace: to read one whole is right."""
WORKSPACES = 20
DIALECT = dialect_of()  # type: ignore[no-untyped-call]
SHARED = frozenset({"workspace_id", "agent_id", "kind", "resource_type", "route"})
"""Text in a key that the copies have in common, as in life: agents and kinds come again in other threads."""
NUMBERS = {"audit_anchors": "n", "audit_leaves": "anchor_n"}
"""Where a number is all that tells two rows of a workspace apart."""
ANSWERS = frozenset({"in_reply_to", "retry_of"})
"""Ids under another name."""
TYPES = {datetime: "::timestamptz", bool: "::bool", int: "::int", float: "::float8", bytes: "::bytea"}
PLACE = re.compile(r"%\((\w+)\)s|%%")


def multiply(owner: Owner, copies: int) -> None:
    """Each row of the tenant tables so many times more, spread over workspaces; keys and ids are their copy's own."""
    with owner.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for table in all_tables().sorted_tables:
            if table.name not in SMALL:
                _multiply(connection, table, copies)
    owner.run("ANALYZE")


def _multiply(connection: Connection, table: Table, copies: int) -> None:
    unique = [index.columns for index in table.indexes if index.unique]
    keys = {column.name for columns in (table.primary_key.columns, *unique) for column in columns}
    own = {
        column.name
        for column in table.columns
        if str(column.type) == "TEXT"
        and (column.name in keys or column.name in ANSWERS or column.name.endswith("_id"))
        and column.name not in SHARED
    }
    if table.name == "agents":
        own.add("agent_id")
    changed = ", ".join(f"'{name}', r.{name} || '~' || n_" for name in sorted(own))
    changed += f"{', ' if own else ''}'workspace_id', 'ws_' || (1 + n_ % {WORKSPACES})"
    if number := NUMBERS.get(table.name):
        changed += f", '{number}', r.{number} + 1000 * n_"
    connection.execute(
        text(
            f"INSERT INTO {table.name} SELECT p.* FROM {table.name} r CROSS JOIN generate_series(1, :copies) copy(n_) "
            f"CROSS JOIN LATERAL jsonb_populate_record(NULL::{table.name}, "
            f"to_jsonb(r) || jsonb_build_object({changed})) p"
        ).bindparams(copies=copies)
    )


def constants(*packages: ModuleType) -> Iterator[tuple[str, str]]:
    """Every statement that a module of the packages holds by name, as the driver gets it."""
    for package in packages:
        for found in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{found.name}")
            for name, value in vars(module).items():
                if isinstance(value, ClauseElement) and isinstance(value, Executable):
                    try:
                        yield f"{found.name}.{name}", str(value.compile(dialect=DIALECT))
                    except CompileError:
                        continue  # a part of a statement


@contextmanager
def recorded(deps: Deps) -> Iterator[dict[str, Mapping[str, Any]]]:
    """The statements that run meanwhile, each with the parameters that it was last given."""
    said: dict[str, Mapping[str, Any]] = {}

    def note(_connection: Any, _cursor: Any, statement: str, params: Any, *_: Any) -> None:  # noqa: ANN401
        said[statement] = params if isinstance(params, dict) else {}

    event.listen(deps.db.engine, "before_cursor_execute", note)
    yield said
    event.remove(deps.db.engine, "before_cursor_execute", note)


def plan_of(connection: Connection, statement: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The generic plan, as the product makes it: of the parameters it knows the types alone."""
    names: dict[str, str] = {}

    def place(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        kind = TYPES.get(type(params.get(found[1])), "")
        return names.setdefault(found[1], f"${len(names) + 1}{kind}")

    with psycopg.ClientCursor(connection.connection.driver_connection) as cursor:  # type: ignore[arg-type]
        asked = f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {PLACE.sub(place, statement)}"
        ((told,),) = cursor.execute(asked, prepare=False).fetchall()
    plan: dict[str, Any] = told[0]["Plan"]
    return plan


def read_whole(plan: dict[str, Any], partial: frozenset[str]) -> set[str]:
    """The big tables that a plan reads from end to end: as they lie, or along an index that is not partial."""
    table, index = plan.get("Relation Name", ""), plan.get("Index Name", "")
    walks = plan["Node Type"] == "Seq Scan" or (index and "Index Cond" not in plan and index not in partial)
    found = {table} - SMALL if table and walks else set()
    return found.union(*(read_whole(part, partial) for part in plan.get("Plans", ())))


def partial_indexes(owner: Owner) -> frozenset[str]:
    """Indexes of a part of a table, such as the wakes that are open: that part is small, and may be walked."""
    rows = owner.rows("SELECT indexrelid::regclass::text AS name FROM pg_index WHERE indpred IS NOT NULL")
    return frozenset(row["name"] for row in rows)
