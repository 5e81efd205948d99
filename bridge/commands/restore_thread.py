"""Put an archived thread back, row for row as it was: with its ids, seqs, hashes, times and cursors."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.core.caller import Caller
from bridge.core.errors import Conflict
from bridge.core.retention import BlockDigest, Line
from bridge.db.archive import go_on, is_there, last_said, put_back
from bridge.db.deps import Deps


def restore_thread(deps: Deps, caller: Caller, thread_id: str, lines: Iterable[Line], *, sha256: str) -> bool:
    """Whether it was put back; False: it is there. Raises Conflict for what this database did not archive like that."""
    with deps.unit(caller.workspace_id, caller) as uow:
        if is_there(uow, thread_id):
            return False
        last = last_said(uow, "thread", thread_id)
        if last is None or last["event"] != "thread.archived":
            raise Conflict(f"this database never archived {thread_id}", thread_id=thread_id)
        if last["after"]["sha256"] != sha256:
            raise Conflict(
                f"{thread_id} was archived as it is in {last['after']['file']}, and not as it is here"
            )
        digest = BlockDigest()
        for kind, row in put_back(uow, digest.through(lines)):
            go_on(uow, kind, row, {"thread_id": thread_id, "sha256": sha256})
        if digest.hex() != sha256:
            raise Conflict(f"the archive changed while {thread_id} was read from it", thread_id=thread_id)
    return True
