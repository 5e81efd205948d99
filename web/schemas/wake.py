"""Wakes: triggering, reading, and acting on one."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import StringConstraints

from bridge.core.states import WakeState
from web.schemas.base import Answer, Moment, Name, Paged, Reason, Request, ScreenedAnswer


class TriggerWake(Request):
    """Wake a participant. The prompt is stored as a message to it, never typed."""

    target_agent_id: Name
    reason: Reason
    trigger_prompt: Annotated[str, StringConstraints(min_length=1, max_length=16_384)] | None = None
    force: bool = False


class TriggeredAnswer(ScreenedAnswer):
    """What came of it: queued, already_active, or fallback_required."""

    wake_id: str | None
    target_agent_id: str
    action: str
    result: str
    target_seq: int


class GiveReason(Request):
    """Why."""

    reason: Reason


class MayGiveReason(Request):
    """Why, if there is something to say."""

    reason: Reason | None = None


class WakeQuery(Paged):
    """Which wakes."""

    state: WakeState | None = None
    agent: Name | None = None
    thread: Name | None = None


class WakeAnswer(ScreenedAnswer):
    """One wake as it stands at `now`, with what it waits for and until when.

    `deferred_left_s`: for how long humans may defer it yet; `held_until`: when the hold of its agent's session ends.
    """

    wake_id: str
    thread_id: str
    agent_id: str
    host: str
    state: str
    reason: str
    target_seq: int
    offered_seq: int
    rung: str | None
    session_id: str | None
    attempts: int
    tries: dict[str, int]
    due_at: Moment
    since: Moment
    dies_at: Moment
    accepted_at: Moment | None
    why: str | None
    deferred_s: float
    deferred_left_s: float
    held_until: Moment | None
    held_by: str | None
    now: Moment
    policy_version: int
    retry_of: str | None
    created_at: Moment
    updated_at: Moment


class WakeList(Answer):
    """The newest first."""

    items: list[WakeAnswer]
    next_cursor: str | None
    now: Moment


class StepAnswer(Answer):
    """One transition."""

    at: Moment
    event: str
    from_state: str | None
    to_state: str
    reason: str
    why: str | None
    worker: str | None
    policy_version: int
    detail: dict[str, Any] | None


class AttemptRunAnswer(Answer):
    """The process that an attempt started; where it is, for who may read the fleet."""

    run_id: str
    state: str
    host: str | None
    pid: int | None
    preset: str
    begun_at: Moment
    started_at: Moment | None
    proved_at: Moment | None
    kill_at: Moment
    ended_at: Moment | None
    exit_status: int | None
    result: str | None
    why: str | None


class AttemptAnswer(Answer):
    """One try on one rung in one session. `joined`: another wake's, whose line told of this one too."""

    attempt_id: str
    joined: bool
    rung: str
    session_id: str
    worker: str | None
    begun_at: Moment
    offered_seq: int
    handed_at: Moment | None
    accepted_at: Moment | None
    left_at: Moment | None
    closed_at: Moment | None
    result: str | None
    why: str | None
    run: AttemptRunAnswer | None


class OutlookAnswer(Answer):
    """What it waits for and until when, what ends that sooner, and what follows when nothing does."""

    waits_for: str
    until: Moment
    sooner: list[str]
    next: str
    next_rung: str | None


class RungAnswer(Answer):
    """A rung as it stands now."""

    rung: str
    tried: int
    tries: int
    applies: bool
    why_not: str | None


class MessageReceiptAnswer(Answer):
    """How far the proof of one message goes for the wake's agent."""

    seq: int
    sender_agent_id: str
    created_at: Moment
    receipt: str
    offered_at: Moment | None
    accepted_at: Moment | None
    answered_at: Moment | None


class ToldAnswer(Answer):
    """Who was told of it."""

    notice_id: str
    audience: str
    cause: str
    text: str
    count: int
    last_at: Moment
    acked_at: Moment | None


class StoryAnswer(Answer):
    """The whole story of a wake, as it stands at `now`; nothing lies ahead of one that has ended."""

    now: Moment
    wake: WakeAnswer
    outlook: OutlookAnswer | None
    ladder: list[RungAnswer]
    steps: list[StepAnswer]
    attempts: list[AttemptAnswer]
    receipts: list[MessageReceiptAnswer]
    notices: list[ToldAnswer]
    next_wake_id: str | None
