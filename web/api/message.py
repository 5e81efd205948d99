"""Messages: posting, reading, cursors, receipts."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from bridge.adapters.metrics import messages_posted, read_duration
from bridge.commands.move_cursor import move_cursor
from bridge.commands.post_message import Draft, Posted, post_message
from bridge.commands.redact_message import redact_message
from bridge.core.authority import Action
from bridge.core.errors import InvalidArgument, NotFound, PayloadTooLarge
from bridge.core.limits import Bucket
from bridge.core.states import MessageKind
from bridge.queries.messages import MessagePage, read_messages, receipts
from bridge.queries.readiness import delay_until
from web.parsing import SCHEMA_VERSION, invalid
from web.routing import AnyCall, Call, NoBody, NoQuery, Own, Reply, route
from web.schemas.message import (
    KNOWN,
    CursorAnswer,
    MessageList,
    MessageQuery,
    MessageRedactedAnswer,
    MoveCursor,
    PostedAnswer,
    PostMessage,
    ReceiptList,
    RedactMessage,
)
from web.waiting import wait_until

NOT_BEFORE_S_MAX = 7 * 24 * 3600.0
SEQ_DIGITS_MAX = 18
UNKNOWN = "unknown_fields"
"""Where a message's metadata keeps fields of a later schema version."""


@route(
    "POST",
    "/v1/threads/{thread_id}/messages",
    Action.POST,
    body=PostMessage,
    screened=True,
    answer=PostedAnswer,
    status=201,
    idempotent=True,
    own=Own.BY_COMMAND,
    codes=("THREAD_NOT_OPEN", "CURSOR_OUT_OF_RANGE", "CONFLICT"),
    bucket=Bucket.POSTS,
)
def post(call: Call[PostMessage, NoQuery]) -> Reply:
    """Post a message; whoever it is for is woken."""
    body, thread_id = call.body, call.path["thread_id"]
    draft = Draft(
        body=_text(call),
        schema_version=body.schema_version,
        kind=MessageKind(body.kind),
        event=_event(body),
        metadata=_metadata(call),
        in_reply_to=body.in_reply_to,
        last_read_seq=body.last_read_seq,
        to=None if body.to is None else tuple(sorted(set(body.to))),
        to_role=body.to_role,
        urgent=body.urgent,
        not_before=body.not_before,
        delay_s=_delay_s(call),
    )
    posted = post_message(call.deps, call.caller, thread_id, draft, key=_key(call))
    if not posted.replayed:
        messages_posted.labels(body.kind).inc()
        _tell(call, thread_id, posted)
    return Reply(PostedAnswer.model_validate(posted), replayed=posted.replayed)


@route(
    "GET",
    "/v1/threads/{thread_id}/messages",
    Action.READ_THREAD,
    query=MessageQuery,
    answer=MessageList,
    own=Own.BY_COMMAND,
)
def read(call: Call[NoBody, MessageQuery]) -> MessageList:
    """Read messages in order; with wait_s, wait for news."""
    thread_id, query = call.path["thread_id"], call.query

    def page() -> MessagePage:
        with read_duration.time():
            return read_messages(
                call.deps,
                call.caller,
                thread_id,
                since_seq=query.since_seq,
                limit=query.limit,
                kind=query.kind,
                event_type=query.event_type,
                sender=query.sender,
            )

    topics = [(call.caller.workspace_id, thread_id)]
    found = wait_until(call, topics, query.wait_s, page, enough=lambda found: bool(found.items))
    return MessageList.model_validate(found)


@route(
    "GET",
    "/v1/threads/{thread_id}/messages/{seq}/receipts",
    Action.READ_THREAD,
    answer=ReceiptList,
    own=Own.BY_COMMAND,
)
def read_receipts(call: Call[NoBody, NoQuery]) -> ReceiptList:
    """Per recipient, how far the proof goes: stored, offered, accepted, read, answered, or failed and why."""
    return ReceiptList.model_validate(receipts(call.deps, call.caller, call.path["thread_id"], _seq(call)))


@route(
    "POST",
    "/v1/threads/{thread_id}/messages/{seq}/redact",
    Action.REDACT,
    body=RedactMessage,
    answer=MessageRedactedAnswer,
    codes=("CONFLICT",),
    screened=True,
)
def redact(call: Call[RedactMessage, NoQuery]) -> MessageRedactedAnswer:
    """Take away what a message says, a leaked secret say: its place and its hash stay, the audit says who and why."""
    thread_id, seq = call.path["thread_id"], _seq(call)
    done = redact_message(call.deps, call.caller, thread_id, seq, call.body.reason)
    return MessageRedactedAnswer(
        thread_id=thread_id,
        seq=seq,
        message_id=done.message_id,
        body_sha256=done.body_sha256,
        redacted_at=done.redacted_at,
        redacted_by=done.redacted_by,
    )


@route(
    "PUT",
    "/v1/threads/{thread_id}/cursor",
    Action.POST,
    body=MoveCursor,
    answer=CursorAnswer,
    own=Own.BY_COMMAND,
    codes=("CURSOR_OUT_OF_RANGE", "CONFLICT"),
    bucket=Bucket.READS,
)
def put_cursor(call: Call[MoveCursor, NoQuery]) -> CursorAnswer:
    """Move the caller's cursor: forward only, not past the end. The cursor is the only ack."""
    moved = move_cursor(call.deps, call.caller, call.path["thread_id"], call.body.last_read_seq)
    return CursorAnswer.model_validate(moved)


def _seq(call: AnyCall) -> int:
    seq = call.path["seq"]
    if not (seq.isascii() and seq.isdigit() and len(seq) <= SEQ_DIGITS_MAX):
        raise NotFound
    return int(seq)


def _tell(call: Call[PostMessage, NoQuery], thread_id: str, posted: Posted) -> None:
    names = dict.fromkeys((thread_id, *(wake.agent_id for wake in posted.wakes)))
    call.services.listeners.tell([(call.caller.workspace_id, name) for name in names])


def _key(call: Call[PostMessage, NoQuery]) -> str | None:
    """The header's key or the body's; both may be given if they agree."""
    given = call.body.idempotency_key
    if given is not None and call.key is not None and given != call.key:
        raise InvalidArgument("is not the Idempotency-Key of the header", path="idempotency_key")
    return given or call.key


def _text(call: Call[PostMessage, NoQuery]) -> str:
    most = call.services.settings.body_bytes_max
    if len(call.body.body.encode()) > most:
        raise PayloadTooLarge(f"a body has at most {most} bytes")
    return call.body.body


def _metadata(call: Call[PostMessage, NoQuery]) -> dict[str, Any] | None:
    metadata = call.body.metadata
    if call.unknown:
        metadata = (metadata or {}) | {UNKNOWN: dict(call.unknown)}
    most = call.services.settings.metadata_bytes_max
    if metadata is not None and len(json.dumps(metadata, ensure_ascii=False).encode()) > most:
        raise PayloadTooLarge(f"metadata has at most {most} bytes")
    return metadata


def _event(body: PostMessage) -> dict[str, Any] | None:
    """The event, checked where its type is known; of a later version, what we know of it."""
    if body.event is None:
        return None
    said = body.event.model_dump()
    model = KNOWN.get(body.event.type)
    if model is None:
        if not isinstance(said.get("commit", ""), str):
            raise InvalidArgument("a commit is text", path="event.commit")
        return said
    later = body.schema_version > SCHEMA_VERSION
    checked = {name: value for name, value in said.items() if not later or name in model.model_fields}
    try:
        model.model_validate(checked)
    except ValidationError as error:
        refusal = invalid(error)
        refusal.errors = [place | {"path": f"event.{place['path']}"} for place in refusal.errors]
        raise refusal from error
    return said


def _delay_s(call: Call[PostMessage, NoQuery]) -> float:
    if call.body.not_before is None:
        return 0.0
    delay_s = delay_until(call.deps, call.caller, call.body.not_before)
    if delay_s > NOT_BEFORE_S_MAX:
        raise InvalidArgument("at most 7 days from now", path="not_before")
    return delay_s
