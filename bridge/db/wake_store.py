"""Loading, judging and recording wakes: the six lines of every command that moves one.

`wake_record.record` is the only way a wake changes after its birth: a guarded update, its history, its audit,
and the effects that belong into the same transaction. A wake that is due is rung after the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, bindparam, select, text

from bridge.core import wake as core
from bridge.core.errors import NotFound
from bridge.core.ladder import Facts, SessionFacts
from bridge.core.policy import Policy
from bridge.core.session import facts as session_facts
from bridge.core.states import WAKE_OPEN, Rung, ThreadStatus
from bridge.db import agent as agent_table
from bridge.db.keeper import HOST_TERM_S
from bridge.db.uow import UnitOfWork
from bridge.db.wake import attempt_wakes, to_core, wakes
from bridge.ports.gateway import Ring
from bridge.ports.tasks import host_queue, ring_name

HOST_SEEN_FOR = timedelta(seconds=HOST_TERM_S)


@dataclass(frozen=True, slots=True)
class Locked:
    """A wake under this transaction's lock, with what its row knows beyond the core's value."""

    wake: core.Wake
    version: int
    host: str
    audit_n: int
    audit_head: bytes | None
    updated_at: datetime


_LOCK = select(wakes).where(wakes.c.wake_id == bindparam("wake_id")).with_for_update(key_share=True)
_LOCK_OPEN_OF = (
    select(wakes)
    .where(
        wakes.c.thread_id == bindparam("thread_id"),
        wakes.c.agent_id.in_(bindparam("agent_ids", expanding=True)),
        wakes.c.state.in_([state.value for state in WAKE_OPEN]),
    )
    .order_by(wakes.c.agent_id)
    .with_for_update(key_share=True)
)
_LOCK_OPEN_IN_THREAD = (
    select(wakes)
    .where(
        wakes.c.thread_id == bindparam("thread_id"), wakes.c.state.in_([state.value for state in WAKE_OPEN])
    )
    .order_by(wakes.c.agent_id)
    .with_for_update(key_share=True)
)
_LOCK_OPEN_OF_AGENT = (
    select(wakes)
    .where(
        wakes.c.workspace_id == bindparam("workspace_id"),
        wakes.c.agent_id == bindparam("agent_id"),
        wakes.c.state.in_([state.value for state in WAKE_OPEN]),
    )
    .order_by(wakes.c.thread_id)
    .limit(500)
    .with_for_update(key_share=True)
)

_LOCK_ATTEMPT = (
    select(wakes)
    .where(
        wakes.c.wake_id.in_(
            select(attempt_wakes.c.wake_id).where(attempt_wakes.c.attempt_id == bindparam("attempt_id"))
        )
    )
    .order_by(wakes.c.thread_id)
    .with_for_update(key_share=True)
)
_CLEAR_RING = text("UPDATE wakes SET rung_until = NULL WHERE wake_id = :wake_id AND rung_until IS NOT NULL")


def lock(uow: UnitOfWork, wake_id: str) -> Locked:
    """The wake, locked; waits for the other hand and re-checks. Raises NotFound."""
    row = uow.run(_LOCK, {"wake_id": wake_id}).mappings().one_or_none()
    if row is None:
        raise NotFound(wake_id=wake_id)
    return _locked(row)


def look(uow: UnitOfWork, wake_id: str) -> core.Wake:
    """The wake as it is, not locked: whose it is and where. Raises NotFound."""
    row = uow.run(select(wakes).where(wakes.c.wake_id == wake_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(wake_id=wake_id)
    return to_core(row)


def lock_open(uow: UnitOfWork, thread_id: str, agent_ids: Sequence[str] | None = None) -> list[Locked]:
    """The thread's open wakes, of these agents or of all, locked in order of the agent."""
    if agent_ids is None:
        rows = uow.run(_LOCK_OPEN_IN_THREAD, {"thread_id": thread_id})
    else:
        rows = uow.run(_LOCK_OPEN_OF, {"thread_id": thread_id, "agent_ids": list(agent_ids) or [""]})
    return [_locked(row) for row in rows.mappings()]


def lock_open_of_agent(uow: UnitOfWork, agent_id: str) -> list[Locked]:
    """The agent's open wakes, locked in order of the thread."""
    params = {"workspace_id": uow.workspace_id, "agent_id": agent_id}
    return [_locked(row) for row in uow.run(_LOCK_OPEN_OF_AGENT, params).mappings()]


def lock_attempt(uow: UnitOfWork, attempt_id: str) -> list[Locked]:
    """Every wake that the attempt tells of, locked in order of the thread: all are one agent's."""
    return [_locked(row) for row in uow.run(_LOCK_ATTEMPT, {"attempt_id": attempt_id}).mappings()]


def clear_ring(uow: UnitOfWork, wake_id: str) -> None:
    """It was rung too early: let the keeper ring it again when it falls due."""
    uow.run(_CLEAR_RING, {"wake_id": wake_id})


def _locked(row: RowMapping) -> Locked:
    return Locked(
        wake=to_core(row),
        version=row["version"],
        host=row["host"],
        audit_n=row["audit_n"],
        audit_head=row["audit_head"],
        updated_at=row["updated_at"],
    )


_FACTS = text("""
SELECT p.last_read_seq, t.status AS thread_status, a.is_human, a.probe_at, a.disabled, a.preset AS a_preset,
    h.seen_at, h.draining, h.presets,
    s.session_id, s.agent_id AS s_agent, s.runtime, s.status, s.resumable, s.host AS s_host, s.attached, s.term, s.pid,
    s.heartbeat_at, s.human_at, s.native_id, s.preset AS s_preset, s.cwd, s.held_until, s.held_by, s.held_why,
    coalesce(s.host, a.host, 'local') = :host AS here,
    EXISTS (SELECT FROM attempts x WHERE x.workspace_id = :workspace_id AND x.session_id = s.session_id
        AND x.closed_at IS NULL AND x.attempt_id IS DISTINCT FROM :attempt_id) AS in_flight,
    EXISTS (SELECT FROM runs r WHERE r.workspace_id = :workspace_id AND r.session_id = s.session_id
        AND r.state <> 'ended') AS running,
    (SELECT count(*) FROM runs r WHERE r.workspace_id = :workspace_id AND r.session_id = s.session_id
        AND r.begun_at > CAST(:now AS timestamptz) - make_interval(secs => 2 * :crash_window_s)
        AND r.ended_at > CAST(:now AS timestamptz) - make_interval(secs => :crash_window_s)
        AND r.result IN ('exited', 'crashed') AND NOT EXISTS (SELECT FROM attempt_wakes y
            WHERE y.attempt_id = r.attempt_id AND y.result IN ('acked', 'already_active'))) AS crashes,
    (SELECT count(*) FROM runs r WHERE r.workspace_id = :workspace_id AND r.agent_id = :agent_id
        AND r.state <> 'ended') AS agent_runs,
    EXISTS (SELECT FROM runs r WHERE r.workspace_id = :workspace_id AND r.agent_id = :agent_id AND r.state <> 'ended'
        AND r.rung = 'spawn' AND r.proved_at IS NULL AND r.attempt_id IS DISTINCT FROM :attempt_id) AS starting,
    EXISTS (SELECT FROM slots f WHERE f.host = :host AND f.n <= :host_slots AND f.run_id IS NULL) AS slots_free,
    EXISTS (SELECT FROM attempts x JOIN attempt_wakes y USING (attempt_id) WHERE y.wake_id = :wake_id
        AND x.session_id = s.session_id AND x.rung = 'live' AND y.handed_at IS NOT NULL) AS told,
    EXISTS (SELECT FROM attempts x JOIN attempt_wakes y USING (attempt_id) WHERE y.wake_id = :wake_id
        AND x.session_id = s.session_id AND x.rung = 'live' AND x.wake_id = :wake_id AND y.handed_at IS NULL
        AND y.result IS DISTINCT FROM 'not_touched') AS perhaps_told,
    (SELECT o.host FROM hosts o WHERE o.host = a.host AND o.host <> :host AND NOT o.draining
        AND o.seen_at > CAST(:now AS timestamptz) - make_interval(secs => :term_s)) AS home,
    (SELECT o.host FROM unnest(CAST(:hosts AS text[])) WITH ORDINALITY AS u(host, i) JOIN hosts o USING (host)
        WHERE o.host <> :host AND NOT o.draining AND o.presets -> a.preset ? 'spawn'
        AND o.seen_at > CAST(:now AS timestamptz) - make_interval(secs => :term_s) ORDER BY i LIMIT 1) AS elsewhere,
    (SELECT count(*) FROM attempts x WHERE x.thread_id = :thread_id AND x.agent_id = :agent_id
        AND x.begun_at > CAST(:now AS timestamptz) - interval '60 s') AS last_minute,
    (SELECT q.reason FROM pauses q WHERE q.workspace_id = :workspace_id AND q.scope IN ('all', 'workspace',
        'host:' || :host, 'agent:' || :agent_id, 'thread:' || :thread_id,
        'runtime:' || coalesce(s.runtime, '')) ORDER BY q.scope LIMIT 1) AS paused
FROM threads t
LEFT JOIN participants p ON p.thread_id = t.thread_id AND p.agent_id = :agent_id
LEFT JOIN agents a ON a.workspace_id = :workspace_id AND a.agent_id = :agent_id
LEFT JOIN hosts h ON h.host = :host
LEFT JOIN sessions s ON s.workspace_id = :workspace_id AND s.session_id = a.seat_session_id
WHERE t.thread_id = :thread_id
""")


_HOST_OF = text("SELECT host FROM agents WHERE workspace_id = :workspace_id AND agent_id = :agent_id")


def host_of(uow: UnitOfWork, agent_id: str) -> str:
    """The host that the agent is bound to."""
    who = {"workspace_id": uow.workspace_id, "agent_id": agent_id}
    return str(uow.run(_HOST_OF, who).scalar_one_or_none() or "local")


def facts(uow: UnitOfWork, wake: core.Wake, host: str, policy: Policy, now: datetime) -> Facts:
    """What the clock's events need beyond the wake: read, never locked; as the wake's host sees it."""
    params = {
        "workspace_id": uow.workspace_id,
        "thread_id": wake.thread_id,
        "agent_id": wake.agent_id,
        "wake_id": wake.wake_id,
        "attempt_id": wake.attempt_id,
        "host": host,
        "host_slots": policy.host_slots,
        "crash_window_s": policy.crash_loop_window_s,
        "hosts": list(policy.hosts),
        "term_s": HOST_TERM_S,
        "now": now,
    }
    row = uow.run(_FACTS, params).mappings().one()
    seen = row["seen_at"]
    return Facts(
        cursor=row["last_read_seq"] or 0,
        takes_part=row["last_read_seq"] is not None,
        thread_status=ThreadStatus(row["thread_status"]),
        agent_is_operator=bool(row["is_human"]),
        session=_session_facts(row, uow.workspace_id, policy, now),
        can_start=_can_start(row),
        draining=bool(row["draining"]),
        home=row["home"],
        elsewhere=row["elsewhere"],
        slots_free=row["slots_free"],
        agent_runs=row["agent_runs"],
        starting=row["starting"],
        host_seen=seen is not None and now - seen < HOST_SEEN_FOR,
        paused=row["paused"] or ("the agent is disabled" if row["disabled"] else None),
        unreachable_until=row["probe_at"],
        wakes_last_minute=row["last_minute"],
    )


def _session_facts(row: RowMapping, workspace_id: str, policy: Policy, now: datetime) -> SessionFacts | None:
    if row["session_id"] is None:
        return None
    return session_facts(
        agent_table.session_to_core(_session_row(row, workspace_id)),
        policy,
        now,
        in_flight=row["in_flight"],
        running=row["running"],
        here=row["here"],
        crashes=row["crashes"],
        told=row["told"],
        perhaps_told=row["perhaps_told"],
    )


def _can_start(row: RowMapping) -> frozenset[Rung]:
    """The rungs that the host's presets start: a session by what started it, else by what its agent is set to."""
    presets = row["presets"] or {}
    rungs = set()
    if Rung.RESUME in presets.get(row["s_preset"] or row["a_preset"], ()):
        rungs.add(Rung.RESUME)
    if Rung.SPAWN in presets.get(row["a_preset"], ()):
        rungs.add(Rung.SPAWN)
    return frozenset(rungs)


def _session_row(row: RowMapping, workspace_id: str) -> Any:  # noqa: ANN401  a mapping with the table's names
    own = {"workspace_id": workspace_id, "agent_id": row["s_agent"], "host": row["s_host"]}
    return {**row, **own, "preset": row["s_preset"]}


def ring(uow: UnitOfWork, wake: core.Wake, host: str) -> None:
    """Note that the wake is to be looked at, after the commit."""
    name = ring_name(wake.state, wake.reason, accepted=wake.accepted_at is not None)
    uow.rings.append(Ring(name, host_queue(host), wake.workspace_id, wake.wake_id))
