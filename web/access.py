"""Who may do this: the token, then the role, then whether the thread is the caller's own."""

from __future__ import annotations

import secrets

from werkzeug.datastructures import Headers

from bridge.core.authority import check, needs_membership
from bridge.core.caller import Caller
from bridge.core.errors import Unauthorized
from bridge.core.names import REQUEST_ID_PATTERN, TRACEPARENT_PATTERN, fits
from bridge.ports.tokens import Claims
from bridge.queries.threads import is_participant
from web.routing import AnyCall, Own, Route


def bearer(authorization: str | None) -> str:
    """The token of an Authorization header. Raises Unauthorized."""
    kind, _, token = (authorization or "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Unauthorized("send `Authorization: Bearer <token>`")
    return token.strip()


def request_id(headers: Headers, made: str) -> str:
    """The caller's X-Request-ID where it is one, else a new one."""
    given = headers.get("X-Request-ID", "")
    return given if fits(REQUEST_ID_PATTERN, given) else made


def caller_of(claims: Claims, headers: Headers, request: str) -> Caller:
    """The identity that commands act for."""
    trace = headers.get("traceparent", "")
    return Caller(
        workspace_id=claims.workspace_id,
        agent_id=claims.agent_id,
        role=claims.role,
        session_id=claims.session_id,
        jti=claims.jti,
        request_id=request,
        traceparent=trace if fits(TRACEPARENT_PATTERN, trace) else None,
    )


def authorise(call: AnyCall, route: Route) -> None:
    """Raise Forbidden unless the caller may make this call here; NotFound for what is not there."""
    role = call.caller.role
    if not needs_membership(route.action, role):
        check(route.action, role)
    elif route.own is Own.BY_PATH:
        own = is_participant(call.deps, call.caller, call.path["thread_id"])
        check(route.action, role, own=own)


def same_secret(given: str, wanted: str) -> bool:
    """Compare without telling by the time it takes how much was right."""
    return secrets.compare_digest(given.encode(), wanted.encode())
