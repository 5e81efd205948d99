"""Agents and hosts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from bridge.config import HOST_NAME_PATTERN
from web.schemas.base import Answer, Moment, Paged, Reason, Request

HostName = Annotated[str, StringConstraints(pattern=HOST_NAME_PATTERN)]
PresetName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


class PutAgent(Request):
    """What is given is set; the rest stays."""

    host: HostName | None = None
    preset: PresetName | None = None
    disabled: bool | None = None
    is_human: bool | None = None


class AgentQuery(Paged):
    """Which agents."""

    host: HostName | None = None


class AgentAnswer(Answer):
    """One agent, and the session that its live wakes go to."""

    agent_id: str
    host: str
    is_human: bool
    preset: str | None
    disabled: bool
    unreachable_since: Moment | None
    probe_at: Moment | None
    listening_until: Moment | None
    seat_session_id: str | None
    seat_runtime: str | None
    seat_status: str | None
    seat_attached: bool
    seat_heartbeat_at: Moment | None
    seat_held_until: Moment | None
    seat_held_by: str | None
    open_wakes: int
    created_at: Moment


class AgentList(Answer):
    """In order of their names."""

    items: list[AgentAnswer]
    next_cursor: str | None


class HostQuery(Paged):
    """Which part of the list."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50


class PutHost(Request):
    """Whether nothing new is to be started there, and why."""

    draining: bool
    reason: Reason


class HostAnswer(Answer):
    """One host: who holds it, what it can start, and what of the caller's workspace it holds; slots are everybody's."""

    host: str
    seen: bool
    last_seen_at: Moment | None
    draining: bool
    term: int
    version: str | None
    machine: str | None
    taken_at: Moment | None
    presets: dict[str, list[str]]
    slots_used: int
    slots: int
    runs: int
    agents: int
    attached_sessions: int
    attempts_in_flight: int
    open_wakes: int


class HostList(Answer):
    """In order of their names."""

    items: list[HostAnswer]
    next_cursor: str | None
