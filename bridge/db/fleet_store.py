"""Agents and hosts as operators set them, notices that are acked, pauses, the denylist: rows that people change."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from bridge.core.errors import NotFound
from bridge.db.agent_store import know_agent
from bridge.db.rowless_audit import audit_rowless
from bridge.db.uow import UnitOfWork

REVOKED_FOR = timedelta(hours=1, seconds=60)
"""Longer than any token lives: afterwards a revocation forbids nothing that has not expired by itself."""

_LOCK = text("""
SELECT host, preset, disabled, is_human, audit_n, audit_head, updated_at FROM agents
WHERE workspace_id = :workspace_id AND agent_id = :agent_id FOR NO KEY UPDATE
""")
_PUT = text("""
UPDATE agents SET host = :host, preset = :preset, disabled = :disabled, is_human = :is_human, audit_n = :n,
    audit_head = :head, updated_at = :now
WHERE workspace_id = :workspace_id AND agent_id = :agent_id
""")


def store_agent(uow: UnitOfWork, agent_id: str, given: dict[str, Any]) -> None:
    """Set the given ones of host, preset, disabled and is_human; the others stay. Audited when something changed."""
    where = {"workspace_id": uow.workspace_id, "agent_id": agent_id}
    know_agent(uow, agent_id, uow.now())
    row = dict(uow.run(_LOCK, where).mappings().one())
    now = uow.now(row["updated_at"])
    before = {name: row[name] for name in ("host", "preset", "disabled", "is_human")}
    changed = {name: value for name, value in given.items() if before[name] != value}
    if not changed:
        return
    was = {name: before[name] for name in changed}
    said = uow.said("agent", agent_id, "agent.changed", was, changed)
    n, head = uow.audit(said, n=row["audit_n"], head=row["audit_head"], at=now)
    uow.run(_PUT, where | before | changed | {"n": n, "head": head, "now": now})


_LOCK_HOST = text("SELECT draining FROM hosts WHERE host = :host FOR NO KEY UPDATE")
_DRAIN = text("UPDATE hosts SET draining = :draining WHERE host = :host")


def store_draining(uow: UnitOfWork, host: str, reason: str, *, draining: bool) -> None:
    """Let the host drain, or no longer; audited when something changed. Raises NotFound."""
    was = uow.run(_LOCK_HOST, {"host": host}).scalar_one_or_none()
    if was is None:
        raise NotFound(host=host)
    if was is draining:
        return
    uow.run(_DRAIN, {"host": host, "draining": draining})
    after = {"draining": draining, "reason": reason}
    audit_rowless(uow, "host", host, "host.changed", {"draining": was}, after, uow.now())


_ACK = text("""
UPDATE notices SET acked_at = :now, acked_by = :by WHERE notice_id = :notice_id AND acked_at IS NULL RETURNING cause
""")
_NOTICE = text("SELECT acked_at FROM notices WHERE notice_id = :notice_id")


def store_ack(uow: UnitOfWork, notice_id: str, by: str) -> None:
    """Close the notice; one that is closed stays as it is. Raises NotFound."""
    if uow.run(_NOTICE, {"notice_id": notice_id}).one_or_none() is None:
        raise NotFound(notice_id=notice_id)
    now = uow.now()
    cause = uow.run(_ACK, {"notice_id": notice_id, "by": by, "now": now}).scalar_one_or_none()
    if cause is not None:
        audit_rowless(uow, "notice", notice_id, "notice.acked", {}, {"cause": cause}, now)


_PAUSE = text("""
INSERT INTO pauses (workspace_id, scope, reason, by, created_at) VALUES (:workspace_id, :scope, :reason, :by, :now)
ON CONFLICT (workspace_id, scope) DO UPDATE SET reason = excluded.reason, by = excluded.by
""")
_PAUSED = text(
    "SELECT reason FROM pauses WHERE workspace_id = :workspace_id AND scope = :scope FOR NO KEY UPDATE"
)
_RESUME = text("DELETE FROM pauses WHERE workspace_id = :workspace_id AND scope = :scope RETURNING reason")


def store_pause(uow: UnitOfWork, scope: str, reason: str, by: str) -> None:
    """Pause the scope, or give a pause another reason."""
    now = uow.now()
    params = {"workspace_id": uow.workspace_id, "scope": scope, "reason": reason, "by": by, "now": now}
    was = uow.run(_PAUSED, params).scalar_one_or_none()
    uow.run(_PAUSE, params)
    before = {} if was is None else {"reason": was}
    audit_rowless(uow, "pause", scope, "pause.set", before, {"reason": reason}, now)


def remove_pause(uow: UnitOfWork, scope: str, reason: str) -> bool:
    """End the pause of exactly this scope; False when there was none."""
    params = {"workspace_id": uow.workspace_id, "scope": scope}
    was = uow.run(_RESUME, params).scalar_one_or_none()
    if was is not None:
        audit_rowless(uow, "pause", scope, "pause.ended", {"reason": was}, {"reason": reason}, uow.now())
    return was is not None


_REVOKE = text("""
INSERT INTO revocations (workspace_id, kind, value, by, reason, created_at, until)
VALUES (:workspace_id, :kind, :value, :by, :reason, :now, :until)
ON CONFLICT (workspace_id, kind, value) DO UPDATE SET by = excluded.by, reason = excluded.reason,
    created_at = excluded.created_at, until = excluded.until
""")


def store_revocation(uow: UnitOfWork, kind: str, value: str, reason: str, by: str) -> datetime:
    """Put it on the denylist; from when."""
    now = uow.now()
    params = {"workspace_id": uow.workspace_id, "kind": kind, "value": value, "by": by, "reason": reason}
    uow.run(_REVOKE, params | {"now": now, "until": now + REVOKED_FOR})
    audit_rowless(uow, "revocation", f"{kind}:{value}", "token.revoked", {}, {"reason": reason}, now)
    return now


_SERVE = text("""
INSERT INTO workspaces (workspace_id, created_at) VALUES (:workspace_id, bridge_now()) ON CONFLICT DO NOTHING
""")


def serve_workspace(uow: UnitOfWork) -> None:
    """Make sure that the unit's workspace is served here; audited when it was not."""
    if uow.run(_SERVE, {"workspace_id": uow.workspace_id}).rowcount:
        audit_rowless(uow, "workspace", uow.workspace_id, "workspace.served", {}, {}, uow.now())
