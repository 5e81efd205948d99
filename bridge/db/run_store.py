"""Runs under their locks: begun with their attempt and a slot, stored, asked to end.

A run is locked after the wakes, agent and session that it concerns. A slot is only ever taken by skipping what others
hold, and given back in the transaction in which its run ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy import bindparam, select, text, update

from bridge.core import run as core
from bridge.core.effects import BeginAttempt
from bridge.core.errors import NotFound
from bridge.core.policy import Policy
from bridge.core.states import Rung, RunState
from bridge.db.agent_store import know_session
from bridge.db.run import run_to_core, run_to_row, runs
from bridge.db.uow import AlreadyThere, UnitOfWork
from bridge.ports.ids import IdSource


@dataclass(frozen=True, slots=True)
class LockedRun:
    """A run under this transaction's lock, with what its row knows beyond the core's value."""

    run: core.Run
    audit_n: int
    audit_head: bytes | None
    updated_at: datetime


_TAKE_SLOT = text("""
UPDATE slots SET run_id = :run_id WHERE host = :host AND n = (
    SELECT n FROM slots WHERE host = :host AND n <= :most AND run_id IS NULL ORDER BY n LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING n
""")
_FREE_SLOT = text("UPDATE slots SET run_id = NULL WHERE run_id = :run_id")
_HOW = text("""
SELECT a.preset, s.preset AS s_preset, s.native_id, s.session_id FROM agents a
LEFT JOIN sessions s ON s.workspace_id = a.workspace_id AND s.session_id = :session_id
WHERE a.workspace_id = :workspace_id AND a.agent_id = :agent_id
""")
_LOCK = select(runs).where(runs.c.run_id == bindparam("run_id")).with_for_update(key_share=True)
_LOCK_OPEN = (
    select(runs)
    .where(runs.c.attempt_id == bindparam("attempt_id"), runs.c.state != RunState.ENDED.value)
    .with_for_update(key_share=True)
)
_LOCK_OPEN_IN = (
    select(runs)
    .where(
        runs.c.workspace_id == bindparam("workspace_id"),
        runs.c.session_id == bindparam("session_id"),
        runs.c.state != RunState.ENDED.value,
    )
    .with_for_update(key_share=True)
)


def reserve_run(
    uow: UnitOfWork,
    ids: IdSource,
    policy: Policy,
    agent_id: str,
    effect: BeginAttempt,
    *,
    host: str,
    worker: str,
    now: datetime,
) -> core.Run:
    """A run with a slot, and with its session if that is new. Raises AlreadyThere when no slot is free."""
    who = {"workspace_id": uow.workspace_id, "agent_id": agent_id, "session_id": effect.session_id}
    how = uow.run(_HOW, who).mappings().one()
    resumed = effect.rung is Rung.RESUME
    if not resumed:
        know_session(uow, effect.session_id, agent_id, "command", now)
    run_id = ids.new("run_")
    taken = {"run_id": run_id, "host": host, "most": policy.host_slots}
    slot = uow.run(_TAKE_SLOT, taken).scalar_one_or_none()
    if slot is None:
        raise AlreadyThere("no slot is free on the host", host=host)
    return core.Run(
        run_id=run_id,
        workspace_id=uow.workspace_id,
        agent_id=agent_id,
        session_id=effect.session_id,
        native_id=(how["native_id"] or effect.session_id) if resumed else _native(effect.session_id),
        attempt_id=effect.attempt_id,
        rung=effect.rung,
        preset=(resumed and how["s_preset"]) or how["preset"],
        host=host,
        worker=worker,
        slot=slot,
        begun_at=now,
        kill_at=now + timedelta(seconds=policy.kill_after_s),
    )


def insert_run(uow: UnitOfWork, run: core.Run, now: datetime) -> None:
    """The row of a reserved run, once its attempt is there. Raises AlreadyThere when another holds its session."""
    said = uow.said("run", run.run_id, "run.begun", {}, _brief(run))
    n, head = uow.audit(said, n=0, head=None, at=now)
    uow.run(runs.insert(), run_to_row(run) | {"audit_n": n, "audit_head": head, "updated_at": now})


def _native(session_id: str) -> str:
    """A name for a session that a program may be told to use: a UUID, the same for the same session."""
    return str(uuid5(NAMESPACE_OID, session_id))


def look_run(uow: UnitOfWork, run_id: str) -> core.Run:
    """The run as it is, not locked. Raises NotFound."""
    row = uow.run(select(runs).where(runs.c.run_id == run_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(run_id=run_id)
    return run_to_core(row)


def run_of_attempt(uow: UnitOfWork, attempt_id: str) -> core.Run | None:
    """The run that the attempt started, as it is."""
    row = uow.run(select(runs).where(runs.c.attempt_id == attempt_id)).mappings().one_or_none()
    return None if row is None else run_to_core(row)


_CWD = text("SELECT cwd FROM sessions WHERE workspace_id = :workspace_id AND session_id = :session_id")


def cwd_of(uow: UnitOfWork, run: core.Run) -> str | None:
    """The working directory of the run's session, where a runtime on its host has shown it."""
    who = {"workspace_id": uow.workspace_id, "session_id": run.session_id}
    found: str | None = uow.run(_CWD, who).scalar_one_or_none()
    return found


def lock_run(uow: UnitOfWork, run_id: str) -> LockedRun:
    """The run, locked. Raises NotFound."""
    row = uow.run(_LOCK, {"run_id": run_id}).mappings().one_or_none()
    if row is None:
        raise NotFound(run_id=run_id)
    return _locked(row)


def free_slot(uow: UnitOfWork, run_id: str) -> None:
    """Give its slot back."""
    uow.run(_FREE_SLOT, {"run_id": run_id})


def store_run(uow: UnitOfWork, old: LockedRun, new: core.Run, now: datetime) -> None:
    """Store what became of a locked run, audited."""
    if new == old.run:
        return
    what = "proved" if new.proved_at != old.run.proved_at else new.state.value
    said = uow.said("run", new.run_id, f"run.{what}", _brief(old.run), _brief(new))
    n, head = uow.audit(said, n=old.audit_n, head=old.audit_head, at=now)
    values = run_to_row(new) | {"audit_n": n, "audit_head": head, "updated_at": now}
    uow.run(update(runs).where(runs.c.run_id == new.run_id).values(**values))


_READ = text("""
SELECT EXISTS (SELECT FROM attempt_wakes WHERE attempt_id = :attempt_id AND result IN ('acked', 'already_active'))
""")


def end_unread_run(uow: UnitOfWork, attempt_id: str, why: str) -> None:
    """Nobody waits for the attempt's run any more: ask it to end, unless what it was started for was read."""
    if not uow.run(_READ, {"attempt_id": attempt_id}).scalar_one():
        _ask_end(uow, uow.run(_LOCK_OPEN, {"attempt_id": attempt_id}).mappings().all(), why)


def end_run_in(uow: UnitOfWork, session_id: str, why: str) -> None:
    """Ask the run that holds this session, if there is one, to end."""
    params = {"workspace_id": uow.workspace_id, "session_id": session_id}
    _ask_end(uow, uow.run(_LOCK_OPEN_IN, params).mappings().all(), why)


def _ask_end(uow: UnitOfWork, rows: Any, why: str) -> None:  # noqa: ANN401  rows of a result
    for row in rows:
        locked = _locked(row)
        now = uow.now(locked.updated_at)
        store_run(uow, locked, core.decide(locked.run, core.EndAsked(why), now).state, now)


def _locked(row: Any) -> LockedRun:  # noqa: ANN401  a row's mapping
    return LockedRun(run_to_core(row), row["audit_n"], row["audit_head"], row["updated_at"])


def _brief(run: core.Run) -> dict[str, Any]:
    return {
        "state": run.state.value,
        "agent_id": run.agent_id,
        "session_id": run.session_id,
        "rung": run.rung.value,
        "host": run.host,
        "pid": run.pid,
        "result": run.result.value if run.result else None,
        "why": run.why,
    }
