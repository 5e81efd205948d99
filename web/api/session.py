"""Sessions: that the caller's own lives, that a human types there, and that one is to be left alone."""

from __future__ import annotations

from bridge.commands.heartbeat_session import heartbeat_session
from bridge.commands.hold_session import hold_session
from bridge.commands.report_human_input import report_human_input
from bridge.core.authority import Action
from web.routing import Call, NoBody, NoQuery, Own, route
from web.schemas.session import HoldAnswer, HumanInputAnswer, PutHold, PutSession, SessionAnswer


@route(
    "PUT",
    "/v1/sessions/{session_id}",
    Action.OWN_SESSION,
    body=PutSession,
    answer=SessionAnswer,
    codes=("CONFLICT",),
)
def put(call: Call[PutSession, NoQuery]) -> SessionAnswer:
    """A heartbeat of the caller's own session: that it lives, and whether it is busy."""
    body = call.body
    session = heartbeat_session(
        call.deps,
        call.caller,
        call.path["session_id"],
        runtime=body.runtime,
        resumable=body.resumable,
        status=body.status,
    )
    return SessionAnswer.model_validate(session)


@route(
    "POST",
    "/v1/sessions/{session_id}/human-input",
    Action.OWN_SESSION,
    answer=HumanInputAnswer,
    codes=("CONFLICT",),
)
def human_input(call: Call[NoBody, NoQuery]) -> HumanInputAnswer:
    """A human is typing in the caller's session."""
    report_human_input(call.deps, call.caller, call.path["session_id"])
    return HumanInputAnswer(session_id=call.path["session_id"])


@route(
    "PUT",
    "/v1/sessions/{session_id}/hold",
    Action.HOLD_SESSION,
    body=PutHold,
    screened=True,
    answer=HoldAnswer,
    own=Own.BY_COMMAND,
    codes=("CONFLICT",),
)
def hold(call: Call[PutHold, NoQuery]) -> HoldAnswer:
    """Leave the session alone for a while, or give it back: nothing is typed there meanwhile."""
    body = call.body
    held = hold_session(call.deps, call.caller, call.path["session_id"], for_s=body.for_s, reason=body.reason)
    return HoldAnswer.model_validate(held)
