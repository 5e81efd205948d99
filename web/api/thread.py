"""Threads: making, reading, who takes part, status, escalation."""

from __future__ import annotations

from bridge.commands.add_participant import add_participant
from bridge.commands.create_thread import create_thread
from bridge.commands.end_escalation import end_escalation
from bridge.commands.escalate_thread import escalate_thread
from bridge.commands.remove_participant import remove_participant
from bridge.commands.set_thread_status import set_thread_status
from bridge.core.authority import Action
from bridge.core.limits import Bucket
from bridge.queries.summary import get_summary
from bridge.queries.threads import get_thread, list_threads
from web.paging import from_cursor, to_cursor
from web.routing import AnyCall, Call, NoBody, NoQuery, Own, Reply, route
from web.schemas.summary import SummaryAnswer
from web.schemas.thread import (
    AddParticipant,
    CreateThread,
    EndEscalationQuery,
    Escalate,
    EscalatedAnswer,
    SetStatus,
    ThreadAnswer,
    ThreadLineAnswer,
    ThreadList,
    ThreadQuery,
)


@route(
    "POST",
    "/v1/threads",
    Action.CREATE_THREAD,
    body=CreateThread,
    screened=True,
    answer=ThreadAnswer,
    status=201,
    idempotent=True,
    bucket=Bucket.POSTS,
)
def create(call: Call[CreateThread, NoQuery]) -> Reply:
    """Make a thread and say who takes part."""
    made = create_thread(
        call.deps,
        call.caller,
        title=call.body.title,
        type=call.body.type,
        participants=[(member.agent_id, member.role) for member in call.body.participants],
        key=call.key,
    )
    return Reply(_thread(call, made.thread_id), replayed=made.replayed)


@route("GET", "/v1/threads", Action.READ_THREAD, query=ThreadQuery, answer=ThreadList, own=Own.BY_COMMAND)
def list_(call: Call[NoBody, ThreadQuery]) -> ThreadList:
    """List threads: all of the workspace, or the caller's own."""
    query = call.query
    page = list_threads(
        call.deps,
        call.caller,
        status=query.status,
        type=query.type,
        participant=query.participant,
        q=query.q,
        limit=query.limit,
        after=from_cursor(query.cursor),
    )
    items = [ThreadLineAnswer.model_validate(item) for item in page.items]
    return ThreadList(items=items, next_cursor=to_cursor(page.mark))


@route("GET", "/v1/threads/{thread_id}", Action.READ_THREAD, answer=ThreadAnswer, own=Own.BY_COMMAND)
def get(call: Call[NoBody, NoQuery]) -> ThreadAnswer:
    """Read a thread: participants, cursors, unread counts, counters."""
    return _thread(call, call.path["thread_id"])


@route(
    "POST",
    "/v1/threads/{thread_id}/participants",
    Action.MANAGE_PARTICIPANTS,
    body=AddParticipant,
    answer=ThreadAnswer,
    status=201,
    again="The agent took part already; its role is the one that was given",
    codes=("THREAD_NOT_OPEN",),
)
def add(call: Call[AddParticipant, NoQuery]) -> Reply:
    """Let an agent take part, or give a participant another role."""
    thread_id = call.path["thread_id"]
    added = add_participant(call.deps, call.caller, thread_id, call.body.agent_id, call.body.role)
    return Reply(_thread(call, thread_id), status=201 if added else 200)


@route(
    "DELETE",
    "/v1/threads/{thread_id}/participants/{agent_id}",
    Action.MANAGE_PARTICIPANTS,
    answer=ThreadAnswer,
)
def remove(call: Call[NoBody, NoQuery]) -> ThreadAnswer:
    """Take an agent out of a thread; its wake there is cancelled."""
    remove_participant(call.deps, call.caller, call.path["thread_id"], call.path["agent_id"])
    return _thread(call, call.path["thread_id"])


@route(
    "POST",
    "/v1/threads/{thread_id}/status",
    Action.RESOLVE,
    body=SetStatus,
    screened=True,
    answer=ThreadAnswer,
    own=Own.BY_COMMAND,
    codes=("INVALID_TRANSITION", "CONFLICT", "INSUFFICIENT_AUTHORITY"),
)
def set_status(call: Call[SetStatus, NoQuery]) -> ThreadAnswer:
    """Resolve, block, unblock or close a thread."""
    thread_id = call.path["thread_id"]
    set_thread_status(
        call.deps,
        call.caller,
        thread_id,
        status=call.body.status,
        reason=call.body.reason,
        expected=call.body.expected,
    )
    call.services.listeners.tell([(call.caller.workspace_id, thread_id)])
    return _thread(call, thread_id)


@route(
    "PUT",
    "/v1/threads/{thread_id}/escalation",
    Action.ESCALATE,
    body=Escalate,
    screened=True,
    answer=EscalatedAnswer,
    codes=("THREAD_NOT_OPEN", "INSUFFICIENT_AUTHORITY", "CONFLICT"),
)
def escalate(call: Call[Escalate, NoQuery]) -> EscalatedAnswer:
    """Escalate a thread, or name another owner; the owner is told how it stands."""
    thread_id, owner = call.path["thread_id"], call.body.owner_agent_id
    summary = get_summary(call.deps, call.caller, thread_id)
    escalate_thread(call.deps, call.caller, thread_id, owner=owner, reason=call.body.reason, summary=summary)
    names = [thread_id, *([owner] if owner else [])]
    call.services.listeners.tell([(call.caller.workspace_id, name) for name in names])
    said = _thread(call, thread_id).model_dump() | {"summary": SummaryAnswer.model_validate(summary)}
    return EscalatedAnswer.model_validate(said)


@route(
    "DELETE",
    "/v1/threads/{thread_id}/escalation",
    Action.ESCALATE,
    query=EndEscalationQuery,
    screened=True,
    answer=ThreadAnswer,
    codes=("INVALID_TRANSITION", "INSUFFICIENT_AUTHORITY", "CONFLICT"),
)
def deescalate(call: Call[NoBody, EndEscalationQuery]) -> ThreadAnswer:
    """End a thread's escalation: it is decided."""
    thread_id = call.path["thread_id"]
    end_escalation(call.deps, call.caller, thread_id, call.query.reason)
    call.services.listeners.tell([(call.caller.workspace_id, thread_id)])
    return _thread(call, thread_id)


def _thread(call: AnyCall, thread_id: str) -> ThreadAnswer:
    return ThreadAnswer.model_validate(get_thread(call.deps, call.caller, thread_id))
