"""The audit: what happened, its proof, and marks to keep elsewhere."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from web.schemas.base import LIMIT_MAX, Answer, Moment, Paged, Part, Request, When

VERIFY_LIMIT_MAX = 5_000
ResourceType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,63}$")]
ResourceId = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,300}$")]
EventName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_.]{0,127}$")]
RequestId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
Actor = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{1,128}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
N = Annotated[int, Field(ge=1, le=2**62)]


class AuditQuery(Paged):
    """Which events: from `since` on, before `until`."""

    resource_type: ResourceType | None = None
    resource_id: ResourceId | None = None
    actor: Actor | None = None
    event: EventName | None = None
    request_id: RequestId | None = None
    since: When | None = None
    until: When | None = None


class AuditEventAnswer(Answer):
    """Who did what to which resource, what it was before and after, and the event's place in the resource's chain."""

    resource_type: str
    resource_id: str
    n: int
    event: str
    actor: str
    result: str
    request_id: str | None
    trace_id: str | None
    before: dict[str, Any]
    after: dict[str, Any]
    at: Moment
    hash: str


class AuditList(Answer):
    """The newest first."""

    items: list[AuditEventAnswer]
    next_cursor: str | None


class VerifyQuery(Paged):
    """How many rows to look at in one call, and where to go on."""

    limit: Annotated[int, Field(ge=1, le=VERIFY_LIMIT_MAX)] = 2_000


class ProblemAnswer(Answer):
    """What is not as it was written: the resource, the first n that is wrong, and what is wrong with it."""

    resource_type: str
    resource_id: str
    n: int
    what: str


class VerifyAnswer(Answer):
    """What was looked at in this call, and what is wrong with it. Verified is what came to its end without items."""

    items: list[ProblemAnswer]
    part: str
    checked: int
    next_cursor: str | None


class MarkAnswer(Answer):
    """This chain had this hash at n."""

    resource_type: str
    resource_id: str
    n: int
    hash: str


class HeadList(Answer):
    """The heads of the workspace's chains, and its anchors, as they are at `now`."""

    items: list[MarkAnswer]
    next_cursor: str | None
    workspace_id: str
    now: Moment


class MarkGiven(Part):
    """A mark that was kept elsewhere."""

    resource_type: ResourceType
    resource_id: ResourceId
    n: N
    hash: Sha256


class CheckMarks(Request):
    """Marks that were kept elsewhere."""

    marks: Annotated[list[MarkGiven], Field(min_length=1, max_length=LIMIT_MAX)]


class CheckedAnswer(Answer):
    """Those that today's chains do not have."""

    items: list[ProblemAnswer]
    checked: int
