"""Messages, cursors and receipts.

An event whose type is known has its own fields and no others; an unknown type is kept as it came.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from bridge.core.states import MessageKind
from web.schemas.base import (
    LIMIT_MAX,
    WAIT_S_MAX,
    Answer,
    Moment,
    Name,
    Part,
    Query,
    Reason,
    Request,
    RoleLabel,
    ScreenedAnswer,
    Seq,
    When,
)

RECIPIENTS_MAX = 1000
Line = Annotated[str, StringConstraints(min_length=1, max_length=512)]
EventType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]


class FindingReported(Part):
    """Something is wrong, there."""

    type: Literal["finding_reported"]
    finding_id: Name | None = None
    severity: Line | None = None
    file: Line | None = None
    line: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    text: Annotated[str, StringConstraints(max_length=16_384)] | None = None


class FixPushed(Part):
    """A commit that mends findings."""

    type: Literal["fix_pushed"]
    commit: Line
    finding_ids: Annotated[list[Name], Field(max_length=200)] = Field(default_factory=list)


class ReReviewRequested(Part):
    """Somebody is to look again."""

    type: Literal["re_review_requested"]
    commit: Line | None = None
    finding_ids: Annotated[list[Name], Field(max_length=200)] = Field(default_factory=list)


class FindingVerified(Part):
    """The finding is mended."""

    type: Literal["finding_verified"]
    finding_id: Name


class FindingRejected(Part):
    """The finding is none, or is not mended."""

    type: Literal["finding_rejected"]
    finding_id: Name


class Decision(Part):
    """What was decided."""

    type: Literal["decision"]
    text: Annotated[str, StringConstraints(min_length=1, max_length=16_384)]


KNOWN: dict[str, type[Part]] = {
    "finding_reported": FindingReported,
    "fix_pushed": FixPushed,
    "re_review_requested": ReReviewRequested,
    "finding_verified": FindingVerified,
    "finding_rejected": FindingRejected,
    "decision": Decision,
}


class AnyEvent(BaseModel):
    """An event: `type`, and what belongs to it."""

    model_config = ConfigDict(strict=True, extra="allow")

    type: EventType


class PostMessage(Request):
    """A message. Without `to` and `to_role` it is for every participant."""

    kind: Literal["chat", "event"] = "chat"
    event: AnyEvent | None = None
    body: str = ""
    metadata: dict[str, Any] | None = None
    in_reply_to: Name | None = None
    last_read_seq: Seq | None = None
    to: Annotated[list[Name], Field(min_length=1, max_length=RECIPIENTS_MAX)] | None = None
    to_role: RoleLabel | None = None
    urgent: bool = False
    not_before: When | None = None
    idempotency_key: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")] | None = None

    @model_validator(mode="after")
    def fits_together(self) -> PostMessage:
        """A chat says something; an event is one."""
        if (self.kind == "event") != (self.event is not None):
            raise ValueError("`event` belongs to kind event, and to no other")
        if self.kind == "chat" and not self.body:
            raise ValueError("a chat message has a body")
        return self


class OpenedWake(Answer):
    """A wake that was opened, or raised to this message."""

    wake_id: str
    agent_id: str
    state: str


class PostedAnswer(ScreenedAnswer):
    """The message is stored, and will wake these."""

    message_id: str
    seq: int
    thread_status: str
    created_at: Moment
    wakes: list[OpenedWake]


class MessageQuery(Query):
    """Which messages. `wait_s` waits for news when there are none."""

    since_seq: Seq = 0
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = 50
    kind: MessageKind | None = None
    event_type: EventType | None = None
    sender: Name | None = None
    wait_s: Annotated[float, Field(ge=0, le=WAIT_S_MAX, allow_inf_nan=False)] = 0


class MessageAnswer(Answer):
    """A message, as it was written; of a redacted one there is no body, no metadata, and of its event the type."""

    message_id: str
    thread_id: str
    seq: int
    schema_version: int
    kind: str
    event: dict[str, Any] | None
    body: str
    metadata: dict[str, Any] | None
    sender_agent_id: str
    sender_session_id: str | None
    in_reply_to: str | None
    to: list[str] | None
    to_role: str | None
    urgent: bool
    created_at: Moment
    redacted: bool
    redacted_at: Moment | None
    redacted_by: str | None


class MessageList(Answer):
    """In order of seq. Give `next_seq` as the next `since_seq`."""

    items: list[MessageAnswer]
    next_seq: int
    has_more: bool
    last_seq: int


class RedactMessage(Request):
    """Why what it says must go."""

    reason: Reason


class MessageRedactedAnswer(ScreenedAnswer):
    """The message says nothing any more; `body_sha256` is the digest of what it said."""

    thread_id: str
    seq: int
    message_id: str
    body_sha256: str
    redacted_at: Moment
    redacted_by: str


class MoveCursor(Request):
    """How far the caller has read."""

    last_read_seq: Seq


class CursorAnswer(Answer):
    """The caller's cursor, and what is behind it."""

    thread_id: str
    last_read_seq: int
    last_seq: int
    unread: int


class ReceiptAnswer(Answer):
    """How far the proof goes for one recipient, and why no further."""

    agent_id: str
    receipt: str
    offered_at: Moment | None
    accepted_at: Moment | None
    answered_at: Moment | None
    wake_id: str | None
    wake_state: str | None
    waits_for: str | None
    why: str | None


class ReceiptList(Answer):
    """The receipts of one message."""

    thread_id: str
    message_id: str
    seq: int
    sender_agent_id: str
    created_at: Moment
    items: list[ReceiptAnswer]
