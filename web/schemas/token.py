"""Tokens: issuing, refreshing, revoking."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from bridge.commands.revoke_token import Revoked
from bridge.core.names import WORKSPACE_PATTERN
from bridge.core.states import Role
from web.schemas.base import Answer, Moment, Name, Reason, Request

WorkspaceName = Annotated[str, StringConstraints(pattern=WORKSPACE_PATTERN)]
TTL_S_MAX = 3600


class IssueToken(Request):
    """For whom. No workspace: the caller's. No session: a new one."""

    agent_id: Name
    workspace_id: WorkspaceName | None = None
    role: Role = Role.PARTICIPANT
    session_id: Name | None = None
    ttl_s: Annotated[int, Field(ge=1, le=TTL_S_MAX)] = TTL_S_MAX


class RefreshToken(Request):
    """For how long."""

    ttl_s: Annotated[int, Field(ge=1, le=TTL_S_MAX)] = TTL_S_MAX


class TokenAnswer(Answer):
    """The token, and what it says."""

    token: str
    agent_id: str
    workspace_id: str
    role: str
    session_id: str
    jti: str
    expires_at: Moment


class RevokeTokens(Request):
    """One token by its `jti`, or all that a session or an agent has had until now; or the same as kind and value."""

    kind: Revoked | None = None
    value: Name | None = None
    jti: Name | None = None
    session_id: Name | None = None
    agent_id: Name | None = None
    reason: Reason = "revoked"


class RevokedAnswer(Answer):
    """In force everywhere within a second."""

    kind: Revoked
    value: str
    revoked_at: Moment
