"""Pausing and resuming the waking."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from web.schemas.base import Answer, Reason, Request

SCOPE_PATTERN = r"^(all|workspace|(host|runtime|agent|thread):[A-Za-z0-9][A-Za-z0-9._:@-]{0,127})$"
Scope = Annotated[str, StringConstraints(pattern=SCOPE_PATTERN)]


class PauseScope(Request):
    """`all`, `workspace`, `host:X`, `runtime:X`, `agent:X` or `thread:X`."""

    scope: Scope
    reason: Reason


class PauseAnswer(Answer):
    """How the scope is now."""

    scope: str
    paused: bool
    reason: str
