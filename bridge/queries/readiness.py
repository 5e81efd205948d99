"""Whether the database is there, is at this code's migrations, and whether this host carried out a canary row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from bridge.core.caller import Caller
from bridge.db.deps import Deps
from bridge.db.revisions import code_head, database_head

_CANARY = text("SELECT canary_claimed_at IS NOT NULL FROM hosts WHERE host = :host")


@dataclass(frozen=True, slots=True)
class Readiness:
    """`migrations`: ok or behind; `canary`: ok or waiting."""

    migrations: str
    canary: str


def readiness(deps: Deps) -> Readiness:
    """Ask the database. Raises Unavailable."""
    with deps.db.plain() as connection:
        at_head = database_head(connection) == code_head()
        claimed = (
            at_head and connection.execute(_CANARY, {"host": deps.settings.host_name}).scalar_one_or_none()
        )
    return Readiness("ok" if at_head else "behind", "ok" if claimed else "waiting")


_UNTIL = text("SELECT greatest(0, extract(epoch FROM CAST(:moment AS timestamptz) - bridge_now()))::float8")


def delay_until(deps: Deps, caller: Caller, moment: datetime) -> float:
    """Seconds from now by the one clock; 0 for what is past."""
    with deps.unit(caller.workspace_id, caller) as uow:
        return float(uow.run(_UNTIL, {"moment": moment}).scalar_one())
