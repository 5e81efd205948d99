"""What every model shares: strict requests, answers from read models, times in UTC with microseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
)

from bridge.core.names import NAME_PATTERN, ROLE_PATTERN

LIMIT_MAX = 200
WAIT_S_MAX = 60
DATE = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]")


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _stripped(text: str) -> str:
    """Without the blanks around it. They count in the length all the same: that is what the schema can say."""
    found = text.strip()
    if not found:
        raise ValueError("must say something")
    return found


def _written_out(value: object) -> object:
    """A text that begins with a date: of anything else pydantic would make seconds since 1970."""
    if not isinstance(value, str) or not DATE.match(value):
        raise ValueError("a moment is written as in 2026-12-01T02:03:04Z")
    return value


Moment = Annotated[datetime, PlainSerializer(_rfc3339, return_type=str)]
When = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_written_out)]
"""A moment that a caller names: RFC 3339, never a number of seconds."""
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=128)]
RoleLabel = Annotated[str, StringConstraints(pattern=ROLE_PATTERN, max_length=64)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_stripped)]
Seq = Annotated[int, Field(ge=0, le=2**62)]


class Part(BaseModel):
    """A part of a request: strict, and nothing in it that we do not know."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Request(Part):
    """A request, of some version."""

    schema_version: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class Query(BaseModel):
    """Parameters: text by nature, so numbers are read from it."""

    model_config = ConfigDict(extra="forbid")


class Paged(Query):
    """The parameters of a list."""

    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = 50
    cursor: Annotated[str | None, Field(max_length=512)] = None


class Answer(BaseModel):
    """An answer, made from a read model."""

    model_config = ConfigDict(from_attributes=True)


class RedactedAnswer(Answer):
    """That a secret of this kind was taken out, and where."""

    path: str
    kind: str


class ScreenedAnswer(Answer):
    """An answer to what the content filter looked at: what it took out."""

    redacted: Annotated[list[RedactedAnswer], Field(exclude_if=lambda found: not found)] = Field(
        default_factory=list
    )
