"""Sessions: that one lives, and that a human types there. Never where it is or what it runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from bridge.core.states import SessionStatus
from web.schemas.base import Answer, Moment, Request

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
