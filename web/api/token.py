"""Tokens. The signing key lives with this process alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from math import ceil

from bridge.adapters.tokens import wall_clock
from bridge.commands.issue_token import issue_token
from bridge.commands.revoke_token import Revoked, revoke_token
from bridge.core.authority import Action
from bridge.core.errors import InvalidArgument
from bridge.ports.tokens import Claims
from web.routing import AnyCall, Call, NoQuery, Reply, route
from web.schemas.token import IssueToken, RefreshToken, RevokedAnswer, RevokeTokens, TokenAnswer


@route(
    "POST",
    "/v1/tokens",
    Action.ISSUE_TOKEN,
    body=IssueToken,
    answer=TokenAnswer,
    status=201,
    codes=("OUT_OF_SCOPE_WORKSPACE",),
)
def issue(call: Call[IssueToken, NoQuery]) -> Reply:
    """Let an agent have a token."""
    body = call.body
    workspace_id = body.workspace_id or call.caller.workspace_id
    session_id = body.session_id or call.deps.ids.new("ses_")
    jti = issue_token(
        call.deps,
        call.caller,
        workspace_id=workspace_id,
        agent_id=body.agent_id,
        role=body.role,
        session_id=session_id,
        life_s=body.ttl_s,
    )
    now = wall_clock()
    claims = Claims(body.agent_id, workspace_id, body.role, session_id, jti, now, now + body.ttl_s)
    return Reply(_signed(call, claims))


@route("POST", "/v1/tokens/refresh", Action.REFRESH, body=RefreshToken, answer=TokenAnswer, status=201)
def refresh(call: Call[RefreshToken, NoQuery]) -> Reply:
    """A new token for the caller's own session, before the old one has expired; it lives no longer than that one."""
    now = wall_clock()
    jti = call.deps.ids.new("jti_")
    # What a host has made for a run stays as short as that. Up: signing cuts the fraction off.
    life_s = min(call.body.ttl_s, ceil(call.claims.exp - call.claims.iat))
    return Reply(_signed(call, replace(call.claims, jti=jti, iat=now, exp=now + life_s)))


@route("POST", "/v1/tokens/revocations", Action.REVOKE, body=RevokeTokens, answer=RevokedAnswer, status=201)
def revoke(call: Call[RevokeTokens, NoQuery]) -> Reply:
    """Revoke one token, or all that a session or an agent has had until now."""
    body = call.body
    given = [(Revoked.JTI, body.jti), (Revoked.SESSION, body.session_id), (Revoked.AGENT, body.agent_id)]
    named = [(kind, value) for kind, value in (*given, (body.kind, body.value)) if kind and value]
    if len(named) != 1:
        raise InvalidArgument("give one of jti, session_id and agent_id")
    ((kind, value),) = named
    at = revoke_token(call.deps, call.caller, kind, value, body.reason)
    call.services.tokens.revoked(call.caller.workspace_id)
    return Reply(RevokedAnswer(kind=kind, value=value, revoked_at=at))


def _signed(call: AnyCall, claims: Claims) -> TokenAnswer:
    return TokenAnswer(
        token=call.services.tokens.sign(claims),
        agent_id=claims.agent_id,
        workspace_id=claims.workspace_id,
        role=claims.role,
        session_id=claims.session_id,
        jti=claims.jti,
        expires_at=datetime.fromtimestamp(int(claims.exp), UTC),
    )
