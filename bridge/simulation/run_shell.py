"""The shell's half that moves runs and hosts: what a run did, an operator's kill, the host's term, the tick."""

from __future__ import annotations

from dataclasses import replace

from bridge.core import run as core
from bridge.core import session as session_core
from bridge.core.agent import Agent, offer_seat
from bridge.core.effects import AcceptAttempt, JudgeAttempt, TakeSeat
from bridge.core.run import Run
from bridge.core.session import Session
from bridge.core.states import RunResult, SessionFound, WaitReason, WakeState
from bridge.core.wake_events import Accepted, RunOver
from bridge.simulation.engine import Steps
from bridge.simulation.facts import HOST_SEEN_FOR
from bridge.simulation.store import HostRow, UnitOfWork, WakeRow
from bridge.simulation.wakes import WakeShell

WAITERS = 2


class RunShell(WakeShell):
    """Commands on runs and hosts."""

    def move_run(self, run_id: str, event: core.Event, hand: str) -> Steps[Run]:
        """It started, proved whose it is, or has ended: what follows for its wakes follows at once."""
        uow = self.store.begin(hand)
        try:
            seen: Run = uow.get("run", run_id)
            wakes = list((yield from self.lock_attempt(uow, seen.attempt_id)).values())
            yield from self.lock_agent(uow, seen.agent_id)
            yield from uow.lock("session", seen.session_id)
            if isinstance(event, core.Ended):
                yield from self.free_slot(uow, seen)
            yield from uow.lock("attempt", seen.attempt_id)
            yield from uow.lock("run", run_id)
            now = self.clock(uow, *wakes)
            yield from self.work()
            decision = core.decide(uow.get("run", run_id), event, now)
            run = decision.state
            uow.put("run", run_id, value=run)
            for effect in decision.effects:
                yield from self._follow_up(uow, run, effect, wakes)
            if isinstance(event, core.Ended):
                uow.roused.append(run.agent_id)
            uow.commit()
        finally:
            uow.end()
        yield from self.finish(uow)
        return run

    def _follow_up(self, uow: UnitOfWork, run: Run, effect: core.Effect, wakes: list[WakeRow]) -> Steps[None]:
        now = self.clock(uow, *wakes)
        match effect:
            case TakeSeat():
                held = self.seat_held(uow, run.agent_id, run.session_id, now)
                yield from self.change_agent(
                    uow, run.agent_id, lambda agent: offer_seat(agent, run.session_id, held=held)
                )
                proved = session_core.RunProved(run.host, run.native_id, run.preset, effect.resumable)
                self._change_session(uow, run, proved)
            case AcceptAttempt():
                for row in wakes:
                    yield from self.record(uow, row, Accepted(run.attempt_id), now)
            case JudgeAttempt():
                self._change_session(uow, run, session_core.RunEnded(effect.found))
                for row in wakes:
                    known = self.facts(uow, row, now)
                    elsewhere = effect.found is SessionFound.ELSEWHERE
                    yield from self.record(
                        uow, row, RunOver(effect.attempt_id, effect.why, known, elsewhere), now
                    )

    def _change_session(self, uow: UnitOfWork, run: Run, event: session_core.Event) -> None:
        session: Session = uow.get("session", run.session_id)
        uow.put("session", run.session_id, value=session_core.decide(session, event, uow.now()))

    def over(self, run_id: str, event: core.Ended, hand: str) -> Steps[None]:
        """It has ended, whoever found that out; who waits longest for a slot of its host looks again."""
        run = yield from self.move_run(run_id, event, hand)
        waiting = [
            row
            for _, wake_id in self.store.open_wakes()
            if (row := self.store.rows["wake", wake_id]).host == run.host
            and (row.wake.state, row.wake.reason) == (WakeState.PENDING, WaitReason.SLOT)
        ]
        for row in sorted(waiting, key=lambda it: it.wake.since)[:WAITERS]:
            yield from self.rouse_waiter(row.wake.wake_id)

    def end_run(self, run_id: str) -> Steps[None]:
        """An operator ends it."""
        uow = self.store.begin("operator")
        try:
            yield from self.ask_end(uow, run_id, "ended by an operator")
            uow.commit()
        finally:
            uow.end()

    # --- hosts ---------------------------------------------------------------------------------------------

    def see(self, host: str, holder: str) -> Steps[None]:
        """The host's worker renews its term."""
        uow = self.store.begin(holder)
        try:
            yield from uow.lock("host", host)
            row: HostRow = uow.get("host", host)
            uow.put("host", host, value=row._replace(seen_at=uow.now(), holder=holder))
            uow.commit()
            yield from self.work()
        finally:
            uow.end()

    def drain(self, host: str, *, draining: bool) -> Steps[None]:
        """An operator lets it start nothing, or things again."""
        uow = self.store.begin("operator")
        try:
            yield from uow.lock("host", host)
            uow.put("host", host, value=uow.get("host", host)._replace(draining=draining))
            uow.commit()
        finally:
            uow.end()

    def bind(self, agent_id: str, host: str) -> Steps[None]:
        """An operator binds an agent to another host."""
        uow = self.store.begin("operator")
        try:
            yield from self.change_agent(uow, agent_id, lambda agent: replace(agent, host=host))
            uow.commit()
        finally:
            uow.end()
        yield from self.rouse(agent_id, alive=False)

    def hosts(self) -> set[str]:
        """Their names."""
        return {host for host, _ in self.starts}

    def not_seen(self, host: str) -> bool:
        """Whether its term is over."""
        row: HostRow = self.store.rows["host", host]
        return self.engine.now - row.seen_at > HOST_SEEN_FOR

    def runs_left(self) -> list[Run]:
        """Open runs of hosts whose term is over: they ended themselves before it was."""
        rows = [self.store.rows["run", run_id] for run_id in self.store.runs_open]
        return [run for run in rows if self.not_seen(run.host)]

    def sessions_left(self) -> list[Session]:
        """Sessions held by hosts whose term is over."""
        held = [row for key, row in self.store.rows.items() if key[0] == "session" and row.attached]
        return [row for row in held if self.not_seen(row.host)]

    def reconcile(self) -> Steps[None]:
        """The tick: what hosts hold whose term is over."""
        if not self.store.is_up or not any(self.not_seen(host) for host in self.hosts()):
            return
        for session in self.sessions_left():
            yield from self.detach(session.agent_id, session.session_id, session.term, "tick")
        for run in self.runs_left():
            event = core.Ended(RunResult.LOST, None, "its host is not seen any more")
            yield from self.move_run(run.run_id, event, "tick")

    def detach(self, agent_id: str, session_id: str, term: int, hand: str) -> Steps[None]:
        """The runtime let go; what was offered there looks on. A later holder is left alone."""
        changed = yield from self.change_session(session_id, session_core.Detached(term), hand)
        if changed:
            yield from self.lose(agent_id, session_id)

    def change_session(self, session_id: str, event: session_core.Event, hand: str) -> Steps[bool]:
        """Under its lock; whether that changed anything."""
        uow = self.store.begin(hand)
        try:
            yield from uow.lock("session", session_id)
            old = uow.get("session", session_id)
            if old is None:
                return False
            after = session_core.decide(old, event, uow.now())
            uow.put("session", session_id, value=after)
            uow.commit()
        finally:
            uow.end()
        return bool(after != old)

    def seat_of(self, agent_id: str) -> Agent:
        """The agent as it stands."""
        agent: Agent = self.store.rows["agent", agent_id]
        return agent
