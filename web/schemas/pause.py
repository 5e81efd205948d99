"""Pausing and resuming the waking."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from bridge.core.names import PAUSE_SCOPE_PATTERN
from web.schemas.base import Answer, Moment, Paged, Reason, Request, ScreenedAnswer

Scope = Annotated[str, StringConstraints(pattern=PAUSE_SCOPE_PATTERN)]


class PauseScope(Request):
    """`all`, `workspace`, `host:X`, `runtime:X`, `agent:X` or `thread:X`."""

    scope: Scope
    reason: Reason


class PauseAnswer(ScreenedAnswer):
    """How the scope is now."""

    scope: str
    paused: bool
    reason: str


class PauseQuery(Paged):
    """Which part of the list."""


class PauseItem(Answer):
    """One pause."""

    scope: str
    reason: str
    by: str
    created_at: Moment


class PauseList(Answer):
    """The oldest first; `waiting`: how many wakes wait for a pause to end."""

    items: list[PauseItem]
    next_cursor: str | None
    waiting: int
    now: Moment
