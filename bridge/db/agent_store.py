"""Loading and changing agents and sessions, under their locks (agent before session)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, text, update

from bridge.core import agent as breaker
from bridge.core.agent import Agent
from bridge.core.errors import Conflict, NotFound
from bridge.core.policy import Policy
from bridge.core.session import Session
from bridge.db.agent import agent_to_core, agent_to_row, agents, session_to_core, session_to_row, sessions
from bridge.db.uow import UnitOfWork

_KNOW = text("""
INSERT INTO agents (workspace_id, agent_id, is_human, created_at, updated_at)
VALUES (:workspace_id, :agent_id, :is_human, :now, :now) ON CONFLICT DO NOTHING
""")
_LOCK_AGENT = (
    select(agents)
    .where(agents.c.workspace_id == bindparam("workspace_id"), agents.c.agent_id == bindparam("agent_id"))
    .with_for_update(key_share=True)
)
_LOCK_SESSION = (
    select(sessions)
    .where(
        sessions.c.workspace_id == bindparam("workspace_id"), sessions.c.session_id == bindparam("session_id")
    )
    .with_for_update(key_share=True)
)


def know_agent(uow: UnitOfWork, agent_id: str, now: datetime, *, is_human: bool = False) -> None:
    """Make sure that the agent has a row."""
    params = {"workspace_id": uow.workspace_id, "agent_id": agent_id, "is_human": is_human, "now": now}
    uow.run(_KNOW, params)


def change_agent(uow: UnitOfWork, agent_id: str, change: Callable[[Agent], Agent], now: datetime) -> Agent:
    """Lock the agent, apply a rule of the core, store what changed, audited. Gives the agent as it is now."""
    params = {"workspace_id": uow.workspace_id, "agent_id": agent_id}
    row = uow.run(_LOCK_AGENT, params).mappings().one_or_none()
    if row is None:
        know_agent(uow, agent_id, now)
        row = uow.run(_LOCK_AGENT, params).mappings().one()
    old = agent_to_core(row)
    new = change(old)
    if new == old:
        return old
    now = uow.now(row["updated_at"])  # the caller's was read before this lock
    changed = {name: value for name, value in agent_to_row(new).items() if getattr(old, name) != value}
    n, head = row["audit_n"], row["audit_head"]
    if set(changed) - {"listening_until"}:
        before = {name: _plain(getattr(old, name)) for name in changed}
        said = uow.said(
            "agent", agent_id, "agent.changed", before, {k: _plain(v) for k, v in changed.items()}
        )
        n, head = uow.audit(said, n=n, head=head, at=now)
    uow.run(
        update(agents)
        .where(agents.c.workspace_id == uow.workspace_id, agents.c.agent_id == agent_id)
        .values(**changed, audit_n=n, audit_head=head, updated_at=now)
    )
    return new


class ProbeTaken(Conflict):
    """Another wake took the agent's probe since this one was judged: it waits for the next."""


def take_probe(uow: UnitOfWork, agent_id: str, seen: datetime, policy: Policy, now: datetime) -> None:
    """The agent's one probe, which was due at `seen`. Raises ProbeTaken."""

    def rule(agent: Agent) -> Agent:
        if breaker.probe_is_taken(agent, seen):
            raise ProbeTaken
        return breaker.take_probe(agent, policy, now)

    change_agent(uow, agent_id, rule, now)


def lock_agent(uow: UnitOfWork, agent_id: str) -> Agent | None:
    """The agent under its lock."""
    params = {"workspace_id": uow.workspace_id, "agent_id": agent_id}
    row = uow.run(_LOCK_AGENT, params).mappings().one_or_none()
    return None if row is None else agent_to_core(row)


_HAS_SEAT = text("""
SELECT EXISTS (SELECT FROM agents WHERE workspace_id = :workspace_id AND agent_id = :agent_id
    AND seat_session_id = :session_id)
""")


def has_seat(uow: UnitOfWork, agent_id: str, session_id: str) -> bool:
    """Whether the session sits in its agent's seat."""
    params = {"workspace_id": uow.workspace_id, "agent_id": agent_id, "session_id": session_id}
    return bool(uow.run(_HAS_SEAT, params).scalar_one())


_SEAT_HELD = text("""
SELECT s.attached OR (s.status <> 'offline'
        AND s.heartbeat_at > CAST(:now AS timestamptz) - make_interval(secs => :fresh_s))
    OR EXISTS (SELECT FROM runs r WHERE r.workspace_id = s.workspace_id AND r.session_id = s.session_id
        AND r.state <> 'ended')
FROM agents a JOIN sessions s ON s.workspace_id = a.workspace_id AND s.session_id = a.seat_session_id
WHERE a.workspace_id = :workspace_id AND a.agent_id = :agent_id AND s.session_id <> :session_id
""")


def seat_held(uow: UnitOfWork, agent_id: str, session_id: str, fresh_s: float, now: datetime) -> bool:
    """Whether another session than this one holds the agent's seat, and lives."""
    params = {"workspace_id": uow.workspace_id, "agent_id": agent_id, "session_id": session_id}
    return bool(uow.run(_SEAT_HELD, params | {"fresh_s": fresh_s, "now": now}).scalar_one_or_none())


def lock_session(uow: UnitOfWork, session_id: str) -> tuple[Session, dict[str, Any]] | None:
    """The session under its lock, with its row."""
    params = {"workspace_id": uow.workspace_id, "session_id": session_id}
    row = uow.run(_LOCK_SESSION, params).mappings().one_or_none()
    return None if row is None else (session_to_core(row), dict(row))


def need_session(uow: UnitOfWork, session_id: str) -> tuple[Session, dict[str, Any]]:
    """As lock_session; raises NotFound."""
    found = lock_session(uow, session_id)
    if found is None:
        raise NotFound(session_id=session_id)
    return found


_INSERT_SESSION = text("""
INSERT INTO sessions (workspace_id, session_id, agent_id, runtime, status, resumable, created_at, updated_at)
VALUES (:workspace_id, :session_id, :agent_id, :runtime, 'offline', false, :now, :now) ON CONFLICT DO NOTHING
""")


def know_session(uow: UnitOfWork, session_id: str, agent_id: str, runtime: str, now: datetime) -> None:
    """Make sure that the session has a row; whose it is is checked by the caller, under the lock."""
    params = {
        "workspace_id": uow.workspace_id,
        "session_id": session_id,
        "agent_id": agent_id,
        "runtime": runtime,
        "now": now,
    }
    uow.run(_INSERT_SESSION, params)


def store_session(uow: UnitOfWork, row: dict[str, Any], old: Session, new: Session, now: datetime) -> None:
    """Store what became of a locked session; heartbeats alone leave no audit event."""
    if new == old:
        return
    n, head = row["audit_n"], row["audit_head"]
    for event, names in _audited(old, new):
        before = {name: _plain(getattr(old, name)) for name in names}
        after = {name: _plain(getattr(new, name)) for name in names}
        n, head = uow.audit(uow.said("session", new.session_id, event, before, after), n=n, head=head, at=now)
    values = session_to_row(new) | {"audit_n": n, "audit_head": head, "updated_at": now}
    where = (sessions.c.workspace_id == uow.workspace_id, sessions.c.session_id == new.session_id)
    uow.run(update(sessions).where(*where).values(**values))


_PLACE = ("attached", "term", "host")
_HOLD = ("held_until", "held_by", "held_why")


def _audited(old: Session, new: Session) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What happened to it that leaves an audit event, and what is told of it."""
    if any(getattr(new, name) != getattr(old, name) for name in _PLACE):
        yield "session.attached" if new.attached else "session.detached", _PLACE
    if new.native_id != old.native_id and new.attached:
        yield "session.named", ("native_id",)
    if any(getattr(new, name) != getattr(old, name) for name in _HOLD):
        yield "session.released" if new.held_until is None else "session.held", _HOLD


def _plain(value: Any) -> Any:  # noqa: ANN401  a column's value
    return value.isoformat() if isinstance(value, datetime) else value
