"""Say in a workspace's audit that a backup was taken of it, or that it was restored from one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.core.caller import Caller
from bridge.db.deps import Deps
from bridge.db.rowless_audit import audit_rowless


def note_backup(deps: Deps, caller: Caller, what: str, sha256: str, facts: Mapping[str, Any]) -> None:
    """Append `backup.<what>` to the chain of the backup, named by its digest."""
    with deps.unit(caller.workspace_id, caller) as uow:
        audit_rowless(uow, "backup", sha256, f"backup.{what}", {}, facts, uow.now())
