"""A thread's summary: what somebody needs to know who was not there."""

from __future__ import annotations

from bridge.core.authority import Action
from bridge.queries.summary import get_summary
from web.routing import Call, NoBody, Own, route
from web.schemas.summary import SummaryAnswer, SummaryQuery


@route(
    "GET",
    "/v1/threads/{thread_id}/summary",
    Action.READ_THREAD,
    query=SummaryQuery,
    answer=SummaryAnswer,
    own=Own.BY_COMMAND,
)
def get(call: Call[NoBody, SummaryQuery]) -> SummaryAnswer:
    """Sum a thread up: findings, decisions, the last status change, key messages with their seq."""
    found = get_summary(call.deps, call.caller, call.path["thread_id"], call.query.max_messages)
    return SummaryAnswer.model_validate(found)
