"""The agent: who holds its seat, and whether it can be reached. Small enough that its rules are plain functions.

The seat is a row with a term: whoever takes it raises the term, so an older holder knows that it lost it. The breaker
keeps a dead agent from being woken over and over: 1, 2, 4 .. 30 minutes, one probe each, any sign of life closes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from bridge.core.policy import Policy


@dataclass(frozen=True, slots=True)
class Agent:
    """One identity, bound to a host. `probe_at` is set while its breaker is open;
    `failures` counts how often it was opened since the last sign of life.
    """

    workspace_id: str
    agent_id: str
    host: str = "local"
    is_human: bool = False
    disabled: bool = False
    seat_session_id: str | None = None
    seat_term: int = 0
    failures: int = 0
    unreachable_since: datetime | None = None
    probe_at: datetime | None = None
    listening_until: datetime | None = None


def take_seat(agent: Agent, session_id: str, host: str | None = None) -> Agent:
    """The session holds the seat from now on, and its agent is where it is; the term rises even when it held it."""
    return replace(agent, seat_session_id=session_id, seat_term=agent.seat_term + 1, host=host or agent.host)


def offer_seat(agent: Agent, session_id: str, *, held: bool) -> Agent:
    """A session that nobody placed there takes the seat, unless a living one holds it (`held`)."""
    return agent if held or agent.seat_session_id == session_id else take_seat(agent, session_id)


def wake_failed(agent: Agent, policy: Policy, now: datetime) -> Agent:
    """The breaker opens. While it is open, more that fail only keep it so: it is the probe that doubles its time."""
    if agent.probe_at is not None and now < agent.probe_at:
        return replace(agent, probe_at=max(agent.probe_at, now + policy.breaker(agent.failures)))
    return _open(replace(agent, unreachable_since=agent.unreachable_since or now), policy, now)


def probe_is_taken(agent: Agent, seen: datetime) -> bool:
    """Whether another wake took the probe that was due at `seen`."""
    return agent.probe_at is not None and agent.probe_at != seen


def take_probe(agent: Agent, policy: Policy, now: datetime) -> Agent:
    """One wake tries; the others wait until the next probe, twice as long. A closed breaker stays closed."""
    return agent if agent.probe_at is None else _open(agent, policy, now)


def _open(agent: Agent, policy: Policy, now: datetime) -> Agent:
    failures = agent.failures + 1
    return replace(agent, failures=failures, probe_at=now + policy.breaker(failures))


def ask_probe(agent: Agent, now: datetime) -> Agent:
    """Somebody asks for the probe now; with the breaker closed there is none to ask for."""
    return agent if agent.probe_at is None else replace(agent, probe_at=min(agent.probe_at, now))


def alive(agent: Agent) -> Agent:
    """Any sign of life closes the breaker."""
    return replace(agent, failures=0, unreachable_since=None, probe_at=None)
