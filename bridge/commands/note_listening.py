"""The caller waits for its inbox: what is for it gets a short grace before anything rings."""

from __future__ import annotations

from bridge.core.caller import Caller
from bridge.db.deps import Deps
from bridge.db.listening_store import store_listening


def note_listening(deps: Deps, caller: Caller, *, for_s: float) -> None:
    """It listens for so long from now; 0: it has stopped. Not audited: a note that is old in seconds."""
    with deps.unit(caller.workspace_id, caller) as uow:
        store_listening(uow, caller.agent_id, for_s)
