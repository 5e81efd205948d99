"""First answers of idempotent calls, by (workspace, agent, route, key).

Refusals are not kept: their transaction rolls back.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import text

from bridge.core.errors import Conflict, IdempotencyConflict
from bridge.db.uow import UnitOfWork

_TAKE = text("""
INSERT INTO idempotency_keys (workspace_id, agent_id, route, key, request_hash, created_at)
VALUES (:workspace_id, :agent_id, :route, :key, :digest, bridge_now()) ON CONFLICT DO NOTHING
""")
_READ = text("""
SELECT request_hash, response FROM idempotency_keys
WHERE workspace_id = :workspace_id AND agent_id = :agent_id AND route = :route AND key = :key
""")
_REMEMBER = text("""
UPDATE idempotency_keys SET response = CAST(:response AS jsonb)
WHERE workspace_id = :workspace_id AND agent_id = :agent_id AND route = :route AND key = :key
""")


def _params(uow: UnitOfWork, agent_id: str, route: str, key: str) -> dict[str, Any]:
    return {"workspace_id": uow.workspace_id, "agent_id": agent_id, "route": route, "key": key}


def take_key(uow: UnitOfWork, agent_id: str, route: str, key: str, digest: bytes) -> bool:
    """Claim the key for this transaction; False when a first answer exists. Waits for a racing first."""
    return uow.run(_TAKE, _params(uow, agent_id, route, key) | {"digest": digest}).rowcount == 1


def replayed(uow: UnitOfWork, agent_id: str, route: str, key: str, digest: bytes) -> dict[str, Any]:
    """The first answer, marked as a replay. Raises IdempotencyConflict when the payload was another."""
    row = uow.run(_READ, _params(uow, agent_id, route, key)).mappings().one_or_none()
    if row is None or row["response"] is None:
        raise Conflict("the first call with this key is not finished: try again")
    if bytes(row["request_hash"]) != digest:
        raise IdempotencyConflict
    return dict(row["response"]) | {"replayed": True}


def remember(uow: UnitOfWork, agent_id: str, route: str, key: str, answer: dict[str, Any]) -> None:
    """Keep the answer for replays."""
    uow.run(_REMEMBER, _params(uow, agent_id, route, key) | {"response": json.dumps(answer, default=str)})
