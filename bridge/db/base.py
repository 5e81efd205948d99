"""The metadata that every table hangs on, and the column types that recur."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, LargeBinary, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMES)

TENANT_FREE = frozenset({"hosts", "slots", "ticks"})
"""Tables without a workspace; every other one is under row-level security."""


def when(name: str, *, nullable: bool = False) -> Column[object]:
    """A point in time, in UTC, with microseconds."""
    return Column(name, DateTime(timezone=True), nullable=nullable)


def workspace() -> Column[str]:
    """The trust domain that the row belongs to."""
    return Column("workspace_id", Text, nullable=False)


def one_of(column: str, values: Iterable[StrEnum]) -> CheckConstraint:
    """The database repeats the enum; a test compares both sides."""
    listed = ", ".join(f"'{value.value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def audit_head() -> tuple[Column[int], Column[bytes]]:
    """The head of the row's own audit chain: how many events, and the hash of the last."""
    return (
        Column("audit_n", BigInteger, nullable=False, server_default="0"),
        Column("audit_head", LargeBinary, nullable=True),
    )


def json_column(name: str, *, nullable: bool = True) -> Column[object]:
    """A JSON object, stored as jsonb."""
    return Column(name, JSONB(none_as_null=True), nullable=nullable)
