"""Tokens: who is calling, proved by a signature, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bridge.core.states import Role


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. Times are seconds since the epoch."""

    agent_id: str
    workspace_id: str
    role: Role
    session_id: str
    jti: str
    iat: float
    exp: float


@dataclass(frozen=True, slots=True)
class Revocations:
    """The denylist of one workspace: single tokens, and until when a session's or agent's are void."""

    served: bool = True
    jtis: frozenset[str] = frozenset()
    sessions: tuple[tuple[str, float], ...] = ()
    agents: tuple[tuple[str, float], ...] = ()

    def forbid(self, claims: Claims) -> bool:
        """Whether this token has been revoked: one that was made after the revocation is another one."""
        return (
            claims.jti in self.jtis
            or claims.iat <= dict(self.sessions).get(claims.session_id, float("-inf"))
            or claims.iat <= dict(self.agents).get(claims.agent_id, float("-inf"))
        )


class Tokens(Protocol):
    """The check of a bearer token, and the making of one where the signing key is."""

    def verify(self, token: str) -> Claims:
        """The claims. Raises Unauthorized, TokenExpired, TokenRevoked, OutOfScopeWorkspace, Unavailable."""
        ...

    def recheck(self, claims: Claims) -> None:
        """As verify, for claims that were verified a while ago: a call that waits asks again."""
        ...

    def sign(self, claims: Claims) -> str:
        """A token. Raises Unavailable where there is no signing key."""
        ...
