"""The proof of a workspace's audit from end to end, as a test reads it."""

from __future__ import annotations

from sqlalchemy import Connection, text

from bridge.core.audit import Problem
from bridge.db import audit_proof
from bridge.db.audit_proof import PAGE_ROWS
from tests.support.postgres import Owner
from tests.support.world import World


def problems_in(connection: Connection, workspace: str, limit: int = PAGE_ROWS) -> list[Problem]:
    """What is wrong, as this transaction sees the workspace."""
    return list(audit_proof.broken_history(connection, workspace, limit))


def problems_of(world: World, limit: int = PAGE_ROWS) -> list[Problem]:
    """What is wrong in the world's workspace, as the app's role sees it."""
    with world.deps.unit(world.workspace) as uow:
        return problems_in(uow.connection, world.workspace, limit)


def broken_history(owner: Owner) -> list[Problem]:
    """What is wrong in any workspace of this database."""
    with owner.engine.connect() as connection:
        names = connection.execute(_WORKSPACES).scalars().all()
        return [problem for name in names for problem in problems_in(connection, name)]


_WORKSPACES = text("SELECT workspace_id FROM audit_events UNION SELECT workspace_id FROM threads")
