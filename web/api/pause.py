"""Pausing and resuming the waking of a scope."""

from __future__ import annotations

from bridge.commands.pause_scope import pause_scope
from bridge.commands.resume_scope import resume_scope
from bridge.core.authority import Action
from bridge.queries.pauses import list_pauses
from web.paging import from_cursor, to_cursor
from web.routing import Call, NoBody, NoQuery, route
from web.schemas.pause import PauseAnswer, PauseItem, PauseList, PauseQuery, PauseScope


@route("GET", "/v1/pause", Action.READ_FLEET, query=PauseQuery, answer=PauseList)
def list_(call: Call[NoBody, PauseQuery]) -> PauseList:
    """List what is paused, since when, by whom and why."""
    page = list_pauses(call.deps, call.caller, limit=call.query.limit, after=from_cursor(call.query.cursor))
    items = [PauseItem.model_validate(pause) for pause in page.items]
    return PauseList(items=items, next_cursor=to_cursor(page.mark), waiting=page.waiting, now=page.now)


@route("POST", "/v1/pause", Action.PAUSE, body=PauseScope, answer=PauseAnswer, screened=True)
def pause(call: Call[PauseScope, NoQuery]) -> PauseAnswer:
    """Pause a scope: its wakes wait, and say so."""
    pause_scope(call.deps, call.caller, call.body.scope, call.body.reason)
    return PauseAnswer(scope=call.body.scope, paused=True, reason=call.body.reason)


@route(
    "POST",
    "/v1/resume",
    Action.PAUSE,
    body=PauseScope,
    answer=PauseAnswer,
    screened=True,
    codes=("NOT_FOUND",),
)
def resume(call: Call[PauseScope, NoQuery]) -> PauseAnswer:
    """End the pause of exactly this scope."""
    resume_scope(call.deps, call.caller, call.body.scope, call.body.reason)
    return PauseAnswer(scope=call.body.scope, paused=False, reason=call.body.reason)
