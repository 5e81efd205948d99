"""Every error the bridge can answer with: one tree, stable codes, docstrings as messages, facts as attributes.

    BridgeError
    ├── CallerError            the caller can mend it
    │   ├── InvalidArgument    INVALID_ARGUMENT
    │   │   └── SecretFound    INVALID_ARGUMENT, by the content filter
    │   ├── Unauthorized       UNAUTHORIZED
    │   │   ├── TokenExpired   TOKEN_EXPIRED
    │   │   └── TokenRevoked   TOKEN_REVOKED
    │   ├── Forbidden          FORBIDDEN
    │   │   ├── ClaimMismatch  CLAIM_MISMATCH
    │   │   ├── InsufficientAuthority  INSUFFICIENT_AUTHORITY
    │   │   └── OutOfScopeWorkspace    OUT_OF_SCOPE_WORKSPACE
    │   ├── NotFound           NOT_FOUND
    │   ├── Conflict           CONFLICT
    │   │   ├── IdempotencyConflict    IDEMPOTENCY_CONFLICT
    │   │   ├── InvalidTransition      INVALID_TRANSITION
    │   │   ├── ThreadNotOpen          THREAD_NOT_OPEN
    │   │   └── CursorOutOfRange       CURSOR_OUT_OF_RANGE
    │   ├── PayloadTooLarge    PAYLOAD_TOO_LARGE
    │   ├── UnsupportedMediaType       UNSUPPORTED_MEDIA_TYPE
    │   └── RateLimited        RATE_LIMITED
    └── OurError               the bridge, or what it stands on, is at fault
        ├── Unavailable        UNAVAILABLE
        └── FenceRejected      FENCE_REJECTED

The mapping to HTTP stands in `web/errors.py` alone.
"""

from __future__ import annotations

from typing import ClassVar


class BridgeError(Exception):
    """Something the bridge refuses or cannot do."""

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, detail: str | None = None, **facts: object) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.facts = facts
        super().__init__(self.detail)


class CallerError(BridgeError):
    """The request cannot be carried out as it was made."""


class OurError(BridgeError):
    """The bridge cannot carry this out just now."""


class InvalidArgument(CallerError):
    """The request has a value that is not allowed."""

    code = "INVALID_ARGUMENT"

    def __init__(self, detail: str | None = None, *, path: str = "", **facts: object) -> None:
        super().__init__(detail, **facts)
        self.errors = [{"path": path, "message": self.detail}]


class SecretFound(InvalidArgument):
    """What was written has a secret in it, and the policy lets none through."""


class Unauthorized(CallerError):
    """A valid bearer token is needed."""

    code = "UNAUTHORIZED"


class TokenExpired(Unauthorized):
    """The token has expired: refresh it, or ask for a new one."""

    code = "TOKEN_EXPIRED"


class TokenRevoked(Unauthorized):
    """The token has been revoked."""

    code = "TOKEN_REVOKED"


class Forbidden(CallerError):
    """The caller's role does not allow this."""

    code = "FORBIDDEN"


class ClaimMismatch(Forbidden):
    """The body names somebody else than the token does."""

    code = "CLAIM_MISMATCH"


class InsufficientAuthority(Forbidden):
    """This needs a higher authority, and a reason."""

    code = "INSUFFICIENT_AUTHORITY"


class OutOfScopeWorkspace(Forbidden):
    """The token's workspace is not served here."""

    code = "OUT_OF_SCOPE_WORKSPACE"


class NotFound(CallerError):
    """There is no such thing here."""

    code = "NOT_FOUND"


class Conflict(CallerError):
    """Somebody else was first: read the current state and decide again."""

    code = "CONFLICT"


class IdempotencyConflict(Conflict):
    """The idempotency key was used before, with another payload."""

    code = "IDEMPOTENCY_CONFLICT"


class InvalidTransition(Conflict):
    """The current state does not allow this change."""

    code = "INVALID_TRANSITION"


class ThreadNotOpen(Conflict):
    """The thread is closed."""

    code = "THREAD_NOT_OPEN"


class CursorOutOfRange(Conflict):
    """The cursor only moves forward, and not past the last message."""

    code = "CURSOR_OUT_OF_RANGE"


class PayloadTooLarge(CallerError):
    """The request is larger than allowed."""

    code = "PAYLOAD_TOO_LARGE"


class UnsupportedMediaType(CallerError):
    """The body must be JSON: send `Content-Type: application/json`."""

    code = "UNSUPPORTED_MEDIA_TYPE"


class RateLimited(CallerError):
    """Too many requests: try again later."""

    code = "RATE_LIMITED"

    def __init__(self, detail: str | None = None, *, wait_s: float = 1.0, **facts: object) -> None:
        super().__init__(detail, **facts)
        self.wait_s = wait_s


class Unavailable(OurError):
    """A part the bridge stands on does not answer: try again shortly."""

    code = "UNAVAILABLE"


class FenceRejected(OurError):
    """The outcome comes from a hand that no longer holds the wake: it is refused."""

    code = "FENCE_REJECTED"
