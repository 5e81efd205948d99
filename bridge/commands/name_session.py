"""A terminal's program has said what it calls its session: it can be gone on with by that name later."""

from __future__ import annotations

from bridge.core.session import Named, decide
from bridge.db.agent_store import need_session, store_session
from bridge.db.deps import Deps


def name_session(
    deps: Deps, workspace_id: str, session_id: str, term: int, *, host: str, native_id: str, resumable: bool
) -> None:
    """Note the name; one from an earlier term says nothing. Raises NotFound."""
    with deps.unit(workspace_id, actor=f"host:{host}") as uow:
        session, row = need_session(uow, session_id)
        now = uow.now(row["updated_at"])
        store_session(uow, row, session, decide(session, Named(term, native_id, resumable), now), now)
