"""Wakes: triggering one, reading them, acting on one. Whose thread it is, each command and query asks itself."""

from __future__ import annotations

from bridge.commands.ack_wake import ack_wake
from bridge.commands.cancel_wake import cancel_wake
from bridge.commands.force_wake import force_wake
from bridge.commands.retry_wake import NO_REASON, retry_wake
from bridge.commands.trigger_wake import trigger_wake
from bridge.core.authority import Action
from bridge.core.limits import Bucket
from bridge.queries.wake_story import explain_wake
from bridge.queries.wakes import get_wake, list_wakes
from web.paging import from_cursor, to_cursor
from web.routing import AnyCall, Call, NoBody, NoQuery, Own, Reply, route
from web.schemas.wake import (
    GiveReason,
    MayGiveReason,
    StoryAnswer,
    TriggeredAnswer,
    TriggerWake,
    WakeAnswer,
    WakeList,
    WakeQuery,
)


@route(
    "POST",
    "/v1/threads/{thread_id}/wakes",
    Action.TRIGGER,
    body=TriggerWake,
    screened=True,
    answer=TriggeredAnswer,
    status=201,
    idempotent=True,
    own=Own.BY_COMMAND,
    codes=("THREAD_NOT_OPEN", "INVALID_TRANSITION", "CONFLICT"),
    bucket=Bucket.WAKES,
)
def trigger(call: Call[TriggerWake, NoQuery]) -> Reply:
    """Wake a participant; a prompt is stored as a message to it, never typed."""
    thread_id, body = call.path["thread_id"], call.body
    triggered = trigger_wake(
        call.deps,
        call.caller,
        thread_id,
        target_agent_id=body.target_agent_id,
        reason=body.reason,
        trigger_prompt=body.trigger_prompt,
        force=body.force,
        key=call.key,
    )
    workspace_id = call.caller.workspace_id
    call.services.listeners.tell([(workspace_id, thread_id), (workspace_id, body.target_agent_id)])
    return Reply(TriggeredAnswer.model_validate(triggered), replayed=triggered.replayed)


@route("GET", "/v1/wakes", Action.READ_THREAD, query=WakeQuery, answer=WakeList, own=Own.BY_COMMAND)
def list_(call: Call[NoBody, WakeQuery]) -> WakeList:
    """List wakes: all of the workspace, or those of the caller's own threads."""
    query = call.query
    page = list_wakes(
        call.deps,
        call.caller,
        state=query.state,
        agent=query.agent,
        thread=query.thread,
        limit=query.limit,
        before=from_cursor(query.cursor),
    )
    items = [WakeAnswer.model_validate(wake) for wake in page.items]
    return WakeList(items=items, next_cursor=to_cursor(page.mark), now=page.now)


@route("GET", "/v1/wakes/{wake_id}", Action.READ_THREAD, answer=WakeAnswer, own=Own.BY_COMMAND)
def get(call: Call[NoBody, NoQuery]) -> WakeAnswer:
    """Read a wake: its state, what it waits for, its tries."""
    return _wake(call)


@route("GET", "/v1/wakes/{wake_id}/explain", Action.READ_THREAD, answer=StoryAnswer, own=Own.BY_COMMAND)
def explain(call: Call[NoBody, NoQuery]) -> StoryAnswer:
    """The whole story of a wake: every transition, attempt and run; what it waits for; what comes next."""
    return StoryAnswer.model_validate(explain_wake(call.deps, call.caller, call.path["wake_id"]))


@route(
    "POST",
    "/v1/wakes/{wake_id}/ack",
    Action.POST,
    answer=WakeAnswer,
    own=Own.BY_COMMAND,
    codes=("INVALID_TRANSITION", "CONFLICT"),
    bucket=Bucket.READS,
)
def ack(call: Call[NoBody, NoQuery]) -> WakeAnswer:
    """Say that the caller's cursor is at what the wake offered."""
    ack_wake(call.deps, call.caller, call.path["wake_id"])
    return _wake(call)


@route(
    "POST",
    "/v1/wakes/{wake_id}/cancel",
    Action.CANCEL_WAKE,
    body=MayGiveReason,
    screened=True,
    answer=WakeAnswer,
    own=Own.BY_COMMAND,
    codes=("INVALID_TRANSITION", "CONFLICT"),
)
def cancel(call: Call[MayGiveReason, NoQuery]) -> WakeAnswer:
    """End an open wake."""
    cancel_wake(call.deps, call.caller, call.path["wake_id"], call.body.reason or NO_REASON)
    return _wake(call)


@route(
    "POST",
    "/v1/wakes/{wake_id}/force",
    Action.FORCE_WAKE,
    body=GiveReason,
    screened=True,
    answer=WakeAnswer,
    own=Own.BY_COMMAND,
    codes=("INVALID_TRANSITION", "CONFLICT"),
    bucket=Bucket.WAKES,
)
def force(call: Call[GiveReason, NoQuery]) -> WakeAnswer:
    """Skip what a wake waits for, never the check of the input box."""
    force_wake(call.deps, call.caller, call.path["wake_id"], call.body.reason)
    return _wake(call)


@route(
    "POST",
    "/v1/wakes/{wake_id}/retry",
    Action.TRIGGER,
    body=MayGiveReason,
    screened=True,
    answer=WakeAnswer,
    status=201,
    own=Own.BY_COMMAND,
    codes=("INVALID_TRANSITION", "THREAD_NOT_OPEN", "CONFLICT"),
    bucket=Bucket.WAKES,
)
def retry(call: Call[MayGiveReason, NoQuery]) -> WakeAnswer:
    """Open a new wake in place of one that has ended; it names the old one."""
    opened = retry_wake(call.deps, call.caller, call.path["wake_id"], call.body.reason or NO_REASON)
    return WakeAnswer.model_validate(get_wake(call.deps, call.caller, opened))


def _wake(call: AnyCall) -> WakeAnswer:
    return WakeAnswer.model_validate(get_wake(call.deps, call.caller, call.path["wake_id"]))
