"""Runs as rows: begun with their attempt and a slot, stored, asked to end; in the lock order of the real ones."""

from __future__ import annotations

from datetime import datetime, timedelta

from bridge.core import run as core
from bridge.core.agent import Agent
from bridge.core.effects import BeginAttempt
from bridge.core.run import Run
from bridge.core.session import Session
from bridge.core.states import Rung, RunState, SessionStatus
from bridge.simulation.engine import Steps
from bridge.simulation.facts import READ, Reader
from bridge.simulation.store import Duplicate, Offer, UnitOfWork


class RunRows(Reader):
    """The rows of runs and slots."""

    def reserve_run(
        self, uow: UnitOfWork, agent_id: str, effect: BeginAttempt, host: str, hand: str, now: datetime
    ) -> Run:
        """A run with a slot, and with its session if that is new. Raises Duplicate when no slot is free."""
        if effect.rung is Rung.SPAWN and uow.get("session", effect.session_id) is None:
            uow.put("session", effect.session_id, value=some_session(effect.session_id, agent_id))
        run_id = self.new_id("r")
        return Run(
            run_id=run_id,
            workspace_id="ws",
            agent_id=agent_id,
            session_id=effect.session_id,
            native_id=effect.session_id,
            attempt_id=effect.attempt_id,
            rung=effect.rung,
            preset="command",
            host=host,
            worker=hand.rpartition(".")[0],
            slot=self.take_slot(uow, host, run_id),
            begun_at=now,
            kill_at=now + timedelta(seconds=self.policy.kill_after_s),
        )

    def take_slot(self, uow: UnitOfWork, host: str, run_id: str) -> int:
        """One that is free and that nobody is about to take. Raises Duplicate."""
        for n in range(1, self.policy.host_slots + 1):
            if uow.get("slot", host, n) is None and uow.try_lock("slot", host, n):
                uow.put("slot", host, n, value=run_id)
                return n
        raise Duplicate

    def insert_run(self, uow: UnitOfWork, run: Run) -> Steps[None]:
        """The row of a reserved run. Raises Duplicate when another holds its session."""
        yield from uow.lock("run in", run.session_id)
        if self.run_in(uow, run.session_id) is not None:
            raise Duplicate
        uow.put("run", run.run_id, value=run)

    def free_slot(self, uow: UnitOfWork, run: Run) -> Steps[None]:
        """Give its slot back."""
        yield from uow.lock("slot", run.host, run.slot)
        if uow.get("slot", run.host, run.slot) == run.run_id:
            uow.put("slot", run.host, run.slot, value=None)

    def run_of(self, uow: UnitOfWork, attempt_id: str) -> Run | None:
        """The run that the attempt started, as it is."""
        run_id = uow.get("run of", attempt_id)
        return uow.get("run", run_id) if run_id else None

    def end_unread_run(self, uow: UnitOfWork, attempt_id: str, why: str) -> Steps[None]:
        """Nobody waits for the attempt's run any more: ask it to end, unless what it was started for was read."""
        offers: dict[str, Offer] = uow.get("offers", attempt_id)
        run = self.run_of(uow, attempt_id)
        if run is not None and not any(offer.result in READ for offer in offers.values()):
            yield from self.ask_end(uow, run.run_id, why)

    def end_run_in(self, uow: UnitOfWork, session_id: str, why: str) -> Steps[None]:
        """Ask the run that holds this session, if there is one, to end."""
        run = self.run_in(uow, session_id)
        if run is not None:
            yield from self.ask_end(uow, run.run_id, why)

    def ask_end(self, uow: UnitOfWork, run_id: str, why: str) -> Steps[None]:
        """Under its lock."""
        yield from uow.lock("run", run_id)
        run: Run = uow.get("run", run_id)
        after = core.decide(run, core.EndAsked(why), uow.now()).state
        if after != run:
            uow.put("run", run_id, value=after)

    def of_host(self, host: str) -> list[Run]:
        """All open runs of the host."""
        rows = (self.store.rows["run", run_id] for run_id in self.store.runs_open)
        return [run for run in rows if run.host == host]

    def preset_resumes(self, run: Run, agent: Agent) -> bool:
        """Whether its host's preset can resume what it started."""
        return Rung.RESUME in self.starts[run.host, agent.agent_id]


def some_session(session_id: str, agent_id: str, *, resumable: bool = False) -> Session:
    """A session that nobody holds."""
    return Session("ws", session_id, agent_id, "command", SessionStatus.OFFLINE, resumable=resumable)


def is_over(run: Run) -> bool:
    """Whether no process of it lives, says its row."""
    return run.state is RunState.ENDED
