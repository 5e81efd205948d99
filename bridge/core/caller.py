"""Who is calling, as the token's claims say."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.core.states import Role


@dataclass(frozen=True, slots=True)
class Caller:
    """The identity every command is carried out for; it comes from the token, never from a body."""

    workspace_id: str
    agent_id: str
    role: Role
    session_id: str
    jti: str = ""
    request_id: str = ""
    traceparent: str | None = None
