"""Findings: what a post's event says of them, and how they stand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import text

from bridge.core.states import FindingStatus
from bridge.core.thread import FindingFacts, fingerprint
from bridge.db.uow import UnitOfWork

REPORTED = "finding_reported"
STATUS_AFTER = {
    "fix_pushed": FindingStatus.FIXED,
    "finding_verified": FindingStatus.VERIFIED,
    "finding_rejected": FindingStatus.REJECTED,
}
_SAME = text("""
SELECT coalesce(sum(reports), 0) AS reports,
    (array_agg(status ORDER BY (status IN ('open', 'fixed')) DESC, updated_at DESC))[1] AS status
FROM findings WHERE thread_id = :thread_id AND fingerprint = :fingerprint
""")
_ONE = text("SELECT reports, status FROM findings WHERE thread_id = :thread_id AND finding_id = :finding_id")
_REPORT = text("""
INSERT INTO findings AS f (thread_id, finding_id, workspace_id, fingerprint, status, opened_seq, updated_at)
VALUES (:thread_id, :finding_id, :workspace_id, :fingerprint, 'open', :seq, :now)
ON CONFLICT (thread_id, finding_id) DO UPDATE SET reports = f.reports + 1, status = 'open',
    fingerprint = excluded.fingerprint, updated_at = excluded.updated_at
""")
_MOVE = text("""
UPDATE findings SET status = :status, updated_at = :now
WHERE thread_id = :thread_id AND finding_id = ANY (:finding_ids)
""")
_FORGET = text("""
UPDATE findings SET fingerprint = 'redacted' || chr(31) || finding_id
WHERE thread_id = :thread_id AND fingerprint = :fingerprint
""")


def _print(event: dict[str, Any]) -> str:
    return fingerprint(REPORTED, event.get("file"), event.get("line"), event.get("text"))


def finding_facts(uow: UnitOfWork, thread_id: str, event: dict[str, Any]) -> FindingFacts | None:
    """What is known of the finding that the event names: by fingerprint when reported, else by its id."""
    if event.get("type") == REPORTED:
        row = uow.run(_SAME, {"thread_id": thread_id, "fingerprint": _print(event)}).mappings().one()
        status = row["status"]
        return FindingFacts(int(row["reports"]), FindingStatus(status) if status else None)
    if event.get("type") in STATUS_AFTER and event.get("finding_id"):
        params = {"thread_id": thread_id, "finding_id": str(event["finding_id"])}
        found = uow.run(_ONE, params).mappings().one_or_none()
        return FindingFacts(found["reports"], FindingStatus(found["status"])) if found else None
    return None


def store_finding(
    uow: UnitOfWork, thread_id: str, event: dict[str, Any] | None, seq: int, now: datetime
) -> None:
    """Note what the event says of findings."""
    kind = (event or {}).get("type")
    if event is None or kind not in (REPORTED, *STATUS_AFTER):
        return
    if kind == REPORTED:
        params = {
            "thread_id": thread_id,
            "finding_id": str(event.get("finding_id") or f"seq-{seq}"),
            "workspace_id": uow.workspace_id,
            "fingerprint": _print(event),
            "seq": seq,
            "now": now,
        }
        uow.run(_REPORT, params)
        return
    named = event.get("finding_ids") or ([event["finding_id"]] if event.get("finding_id") else [])
    params = {
        "thread_id": thread_id,
        "finding_ids": [str(one) for one in named][:200],
        "status": STATUS_AFTER[str(kind)].value,
        "now": now,
    }
    uow.run(_MOVE, params)


def forget_finding_text(uow: UnitOfWork, thread_id: str, event: dict[str, Any] | None) -> None:
    """A fingerprint holds the finding's text: no finding has that of this event any more."""
    if event is not None and event.get("type") == REPORTED:
        uow.run(_FORGET, {"thread_id": thread_id, "fingerprint": _print(event)})
