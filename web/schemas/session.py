"""Sessions: that one lives, and that a human types there. Never where it is or what it runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from bridge.core.states import SessionStatus
from web.schemas.base import Answer, Moment, Reason, Request, ScreenedAnswer

RuntimeName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


class PutSession(Request):
    """A heartbeat."""

    runtime: RuntimeName
    resumable: bool = False
    status: SessionStatus = SessionStatus.ACTIVE


class SessionAnswer(Answer):
    """The session, as it is now known."""

    session_id: str
    agent_id: str
    runtime: str
    status: str
    attached: bool
    heartbeat_at: Moment


class HumanInputAnswer(Answer):
    """It was noted."""

    session_id: str
    noted: bool = True


class PutHold(Request):
    """Leave the session alone for so many seconds; null: as long as is allowed; 0: give it back."""

    for_s: Annotated[float, Field(ge=0)] | None
    reason: Reason | None = None


class HoldAnswer(ScreenedAnswer):
    """The session's hold as it stands at `now`; nulls when nobody holds it."""

    session_id: str
    agent_id: str
    held_until: Moment | None
    held_by: str | None
    reason: str | None
    now: Moment
