"""Make a thread and say who takes part in it. Whoever makes it takes part only if it is listed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.core.caller import Caller
from bridge.core.errors import InvalidArgument
from bridge.core.states import ThreadType
from bridge.db.deps import Deps
from bridge.db.idempotency import remember, replayed, take_key
from bridge.db.membership_store import Member, insert_thread

ROUTE = "create_thread"


@dataclass(frozen=True, slots=True)
class Created:
    """The new thread, or the one that the first call with this key made."""

    thread_id: str
    replayed: bool = False


def create_thread(
    deps: Deps,
    caller: Caller,
    *,
    title: str,
    type: ThreadType,  # noqa: A002  its name on the wire
    participants: Sequence[Member],
    key: str | None = None,
) -> Created:
    """An active thread. Raises InvalidArgument (too many participants, or one twice), IdempotencyConflict."""
    most = deps.settings.participants_max
    if len(participants) > most:
        raise InvalidArgument(f"a thread has at most {most} participants", path="participants")
    if len({agent_id for agent_id, _ in participants}) != len(participants):
        raise InvalidArgument("an agent is listed twice", path="participants")
    members = sorted(participants, key=lambda member: member[0])
    digest = hashlib.sha256(json.dumps([title, type.value, members]).encode()).digest()
    with deps.unit(caller.workspace_id, caller) as uow:
        if key is not None and not take_key(uow, caller.agent_id, ROUTE, key, digest):
            return Created(**replayed(uow, caller.agent_id, ROUTE, key, digest))
        thread_id = deps.ids.new("th_")
        insert_thread(uow, thread_id, title, type, members, caller.agent_id, uow.now())
        if key is not None:
            remember(uow, caller.agent_id, ROUTE, key, {"thread_id": thread_id})
    return Created(thread_id)
