"""Remove a closed thread that an archive has row for row as it stands here; its audit stays, and says where it went."""

from __future__ import annotations

from datetime import datetime

from bridge.core.caller import Caller
from bridge.core.retention import digest_of, kept_because
from bridge.db.archive import note, remove, rows_of, standing
from bridge.db.deps import Deps


def archive_thread(
    deps: Deps, caller: Caller, thread_id: str, *, before: datetime, sha256: str, file: str, file_sha256: str
) -> str | None:
    """Take the thread away, if the archive's block `sha256` is what it is; else give why it stays. Raises NotFound."""
    with deps.unit(caller.workspace_id, caller) as uow:
        found = standing(uow, thread_id, lock=True)
        if why := kept_because(found.standing, before):
            return why
        if digest_of(rows_of(uow, thread_id)).hex() != sha256:
            return "it changed since it was written to the archive"
        now = uow.now(found.standing.updated_at)
        gone = remove(uow, thread_id)
        where = {"file": file, "file_sha256": file_sha256, "sha256": sha256}
        for kind, row_id, n, head in [("thread", thread_id, found.audit_n, found.audit_head), *gone]:
            note(uow, (kind, row_id), "archived", where | {"thread_id": thread_id}, chain=(n, head), at=now)
    return None
