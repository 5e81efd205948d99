"""The route table: data that the app serves, OpenAPI prints and guard tests read.

Rules of this file:

- One decorator registers a route, and every route has an action: no call of this table is open to everybody.
- Where others will read what the call says, `screened` has the content filter look at it first; its answer is a
  ScreenedAnswer, which tells what was redacted.
- A call that is limited says from which bucket it takes; what only looks takes from the reads. What stops things
  (pause, cancel, revoke) and what says that somebody lives (heartbeats) is never limited.
- Where the role's grant holds only in own threads, `own` says who asks: the dispatcher, by the path's thread_id,
  before the handler runs; or the command or query, which refuses strangers or shows only what is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from werkzeug.http import http_date

from bridge.adapters.limits import Limits
from bridge.adapters.pubsub import Listeners
from bridge.adapters.tokens import JwtTokens
from bridge.bootstrap import Deps
from bridge.config import Settings
from bridge.core.authority import Action
from bridge.core.caller import Caller
from bridge.core.content import Redaction
from bridge.core.limits import Bucket
from bridge.ports.tokens import Claims
from web.watch import SecurityWatch

B = TypeVar("B", bound=BaseModel)
Q = TypeVar("Q", bound=BaseModel)


@dataclass(frozen=True)
class Services:
    """What handlers work with, the same for every call of the process."""

    settings: Settings
    deps: Deps
    tokens: JwtTokens
    listeners: Listeners
    watch: SecurityWatch
    limits: Limits


@dataclass(frozen=True)
class Call(Generic[B, Q]):
    """One authenticated request, parsed. `unknown`: fields of a later schema version; `redacted`: secrets taken out."""

    services: Services
    claims: Claims
    caller: Caller
    path: Mapping[str, str]
    body: B
    query: Q
    key: str | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict)
    redacted: tuple[Redaction, ...] = ()

    @property
    def deps(self) -> Deps:
        """The first argument of every command and query."""
        return self.services.deps


@dataclass(frozen=True)
class Reply:
    """An answer; a replay has the first answer's body, status 200 and says so."""

    body: BaseModel
    status: int | None = None
    replayed: bool = False


class NoBody(BaseModel):
    """A call that says nothing."""

    model_config = {"extra": "forbid"}


class NoQuery(BaseModel):
    """A call without parameters."""

    model_config = {"extra": "forbid"}


class Own(Enum):
    """Who sees to it that the thread is the caller's own, where the grant asks for that."""

    BY_PATH = "the dispatcher, by the thread in the path"
    BY_COMMAND = "the command or query that the handler calls"


@dataclass(frozen=True)
class Deprecated:
    """Since when a call is not to be used, when it will be gone, and the page that says what to use instead."""

    since: datetime
    sunset: datetime
    guide: str

    def headers(self) -> dict[str, str]:
        """As RFC 9745 and RFC 8594 say it."""
        return {
            "Deprecation": f"@{int(self.since.timestamp())}",
            "Sunset": http_date(self.sunset),
            "Link": f'<{self.guide}>; rel="deprecation"; type="text/html"',
        }


AnyCall = Call[Any, Any]
Handler = Callable[[AnyCall], "BaseModel | Reply"]


@dataclass(frozen=True)
class Route:
    """One call of the API."""

    method: str
    path: str
    action: Action
    handler: Handler
    summary: str
    answer: type[BaseModel]
    body: type[BaseModel] | None = None
    query: type[BaseModel] = NoQuery
    status: int = 200
    idempotent: bool = False
    codes: tuple[str, ...] = ()
    own: Own = Own.BY_PATH
    deprecated: Deprecated | None = None
    screened: bool = False
    bucket: Bucket | None = None
    again: str = ""  # where the call may find its work done: what a 200 says in place of the status

    @property
    def name(self) -> str:
        """The route in logs, metrics and OpenAPI."""
        return f"{self.handler.__module__.rpartition('.')[2]}.{self.handler.__name__}"


TABLE: list[Route] = []


def route(
    method: str,
    path: str,
    action: Action,
    *,
    answer: type[BaseModel],
    codes: Sequence[str] = (),
    **more: Any,  # noqa: ANN401  the other fields of Route
) -> Callable[[Callable[[Any], BaseModel | Reply]], Callable[[Any], BaseModel | Reply]]:
    """Register the function as the handler of a call. Its docstring's first line is the call's summary."""

    def register(handler: Callable[[Any], BaseModel | Reply]) -> Callable[[Any], BaseModel | Reply]:
        if method == "GET":
            more.setdefault("bucket", Bucket.READS)
        summary = (handler.__doc__ or "").strip().splitlines()[0]
        TABLE.append(Route(method, path, action, handler, summary, answer, codes=tuple(codes), **more))
        return handler

    return register
