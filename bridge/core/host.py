"""Hosts as callers: their names, for whom a host may have tokens made, and what they know of agents bound to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.core.errors import Forbidden, InvalidArgument
from bridge.core.policy import HOST_NAME
from bridge.core.states import Role

HOST_PREFIX: Final = "host:"
RUN_TOKEN_LIFE_S_MAX: Final = 900
"""The longest life of a token that a host has made for a run of its own."""


@dataclass(frozen=True, slots=True)
class AgentOnHost:
    """What the database knows of the agent and session that a host asks a token for."""

    bound: bool  # to this host
    has_run: bool  # an open one here, with just that session
    is_human: bool = False
    others_session: bool = False


@dataclass(frozen=True, slots=True)
class BoundService:
    """An agent that is bound to a preset of a host which says where it is told; its session, if it had one before.

    `seated`: that session is held by the host, and in the seat. `taken`: another one is there, which a terminal holds
    or a run is alive in.
    """

    workspace_id: str
    agent_id: str
    preset: str
    session_id: str | None
    term: int
    seated: bool
    taken: bool


def host_of(agent_id: str) -> str | None:
    """The host whose name as a caller this is; None for everybody else."""
    name = agent_id.removeprefix(HOST_PREFIX)
    return name if name != agent_id and HOST_NAME.fullmatch(name) else None


def check_named(agent_id: str, role: Role) -> None:
    """Raise InvalidArgument unless hosts, and only they, are called `host:NAME`."""
    if (role is Role.HOST) != (host_of(agent_id) is not None):
        raise InvalidArgument("a host, and nobody else, is called host:NAME", path="agent_id")
    if agent_id.startswith(HOST_PREFIX) and role is not Role.HOST:
        raise InvalidArgument(f"names with {HOST_PREFIX} are for hosts", path="agent_id")


def check_host_issue(host_agent_id: str, role: Role, life_s: float, found: AgentOnHost | None) -> None:
    """Raise Forbidden unless this host may have such a token made. `found`: None for an agent nobody knows."""
    host = host_of(host_agent_id)
    if host is None:
        raise Forbidden(f"{host_agent_id} is no host's name")
    if role is not Role.PARTICIPANT:
        raise Forbidden(f"a host has tokens made for participants, not for the role {role}")
    if life_s > RUN_TOKEN_LIFE_S_MAX:
        raise Forbidden(f"a token that a host has made lives for {RUN_TOKEN_LIFE_S_MAX} s at most")
    if found is None or not (found.bound or found.has_run) or found.is_human:
        raise Forbidden(f"the agent is not bound to the host {host}, and that session has no run there")
    if found.others_session:
        raise Forbidden("the session belongs to another agent")
