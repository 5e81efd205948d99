"""Search."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bridge.core.search import QUERY_CHARS_MAX
from bridge.core.states import MessageKind
from web.schemas.base import Answer, Moment, Name, Paged, When


class SearchQuery(Paged):
    """The words, and what narrows them: `since` is part of the span, `until` is not."""

    q: Annotated[str, Field(min_length=1, max_length=QUERY_CHARS_MAX)]
    thread: Name | None = None
    sender: Name | None = None
    kind: MessageKind | None = None
    since: When | None = None
    until: When | None = None


class FoundAnswer(Answer):
    """A message that was found. `marks`: where its words stand in `snippet`, from and to, in characters."""

    message_id: str
    thread_id: str
    title: str
    seq: int
    kind: str
    event_type: str | None
    sender_agent_id: str
    created_at: Moment
    snippet: str
    marks: list[tuple[int, int]]


class FoundList(Answer):
    """The newest first."""

    items: list[FoundAnswer]
    next_cursor: str | None
