"""The fast post: one call of `bridge_post`, which judges nothing but its guard."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import text

from bridge.core.policy import Policy
from bridge.db.thread_store import post_numbers
from bridge.db.uow import Database

_POST = text("""
SELECT bridge_post(:workspace, :thread, CAST(:message AS jsonb), CAST(:wake_ids AS text[]), :route, :key,
    CAST(:digest AS bytea), CAST(:policy AS jsonb))
""")


def fast_post(
    db: Database,
    workspace_id: str,
    thread_id: str,
    message: dict[str, Any],
    wake_ids: list[str],
    idempotency: tuple[str, str | None, bytes],
    policy: Policy,
) -> dict[str, Any]:
    """The stored message; or `replayed`, or `refused` and why. Committed when it returns."""
    route, key, digest = idempotency
    params = {
        "workspace": workspace_id,
        "thread": thread_id,
        "message": json.dumps(message),
        "wake_ids": wake_ids,
        "route": route,
        "key": key,
        "digest": digest,
        "policy": post_numbers(policy),
    }
    with db.at_once() as connection:
        answer: dict[str, Any] = connection.execute(_POST, params).scalar_one()
    return answer
