"""Planted bugs in runs, slots, seats, breakers and hosts: in the rules, in the shell, and in what watches processes."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bridge.core import agent as agent_rules
from bridge.core import ladder, wake_judgement, wake_rules
from bridge.core import session as session_rules
from bridge.core.agent import Agent, take_seat
from bridge.core.effects import Notify
from bridge.core.ladder import Choice, Facts, SessionFacts
from bridge.core.policy import Policy
from bridge.core.run import Run
from bridge.core.states import Evidence, Rung, WaitReason
from bridge.core.wake import Decision
from bridge.core.wake_events import Accepted, CursorMoved, Event, HandedOver, RunOver, TouchAllowed, Wake
from bridge.simulation import run_shell
from bridge.simulation.engine import Steps
from bridge.simulation.hosts import Worker
from bridge.simulation.processes import Book, Shim
from bridge.simulation.store import Duplicate, HostRow, UnitOfWork, WakeRow
from bridge.simulation.threads import Shell
from tests.simulation.planted import OPEN, Planted, Rule, S, both, in_core, in_shell, put, rule

# --- the rules: runs --------------------------------------------------------------------------------------------


def _deaf(_old: Rule) -> Rule:
    def hears_nothing(wake: Wake, event: Event, policy: Policy, now: datetime) -> Decision:
        del event, policy, now
        return Decision(wake)

    return hears_nothing


def _of_any_attempt(old: Rule) -> Rule:
    def taken(wake: Wake, event: RunOver | Accepted, policy: Policy, now: datetime) -> Decision:
        return old(wake, replace(event, attempt_id=wake.attempt_id or ""), policy, now)

    return taken


def _given_back(old: Rule) -> Rule:
    def again(wake: Wake, event: RunOver, policy: Policy, now: datetime) -> Decision:
        after, effects = old(wake, event, policy, now)
        return Decision(replace(after, tried=replace(after.tried, resume=0, spawn=0)), effects)

    return again


def _offering(old: Rule) -> Rule:
    def offers(wake: Wake, event: HandedOver, policy: Policy, now: datetime) -> Decision:
        after, effects = old(wake, event, policy, now)
        if event.evidence is not Evidence.ABSENT:
            return Decision(after, effects)
        return Decision(replace(after, offered_seq=max(after.offered_seq, wake.offering_seq)), effects)

    return offers


def _unread(old: Rule) -> Rule:
    def goes_on(wake: Wake, event: TouchAllowed, policy: Policy, now: datetime) -> Decision:
        return old(wake, replace(event, facts=replace(event.facts, cursor=0)), policy, now)

    return goes_on


def _decided(old: Rule) -> Rule:
    def as_claimed(wake: Wake, event: TouchAllowed, policy: Policy, now: datetime) -> Decision:
        session = event.facts.session
        same = session and replace(session, session_id=wake.session_id or session.session_id)
        chosen = Choice(wake.rung or Rung.LIVE)
        with put(wake_rules, "choose", lambda *_: chosen):
            return old(wake, replace(event, facts=replace(event.facts, session=same)), policy, now)

    return as_claimed


RUN_OVER = ((S.TOUCHING, RunOver), (S.WAITING, RunOver))
in_core("a run's end is ignored by its wake", lambda: rule(_deaf, *RUN_OVER))
in_core("the end of another attempt's run is taken", lambda: rule(_of_any_attempt, *RUN_OVER))
in_core("a run's end gives the tries back", lambda: rule(_given_back, (S.WAITING, RunOver)))
in_core("what another attempt accepted is taken", lambda: rule(_of_any_attempt, (S.WAITING, Accepted)))
in_core("a run's proof is ignored by its wake", lambda: rule(_deaf, (S.WAITING, Accepted)))
in_core("ABSENT raises offered", lambda: rule(_offering, (S.TOUCHING, HandedOver)))
in_core("touch does not choose again", lambda: rule(_decided, (S.DELIVERING, TouchAllowed)))
in_core(
    "what was read while it was claimed is started for",
    lambda: both(rule(_unread, (S.DELIVERING, TouchAllowed)), rule(_deaf, (S.DELIVERING, CursorMoved))),
)

# --- the rules: the ladder --------------------------------------------------------------------------------------

_before_start = ladder._before_start
_can_resume = ladder._can_resume


def _seeing(**changes: Any) -> Planted:  # noqa: ANN401  fields of the facts
    def before_start(session: SessionFacts | None, facts: Facts, policy: Policy) -> WaitReason | None:
        return _before_start(session, replace(facts, **changes), policy)

    return lambda: put(ladder, "_before_start", before_start)


def _never_crashed(session: SessionFacts, policy: Policy) -> bool:
    return _can_resume(replace(session, crashes=0), policy)


in_core("a spawn beside another that is starting", _seeing(starting=False))
in_core("agent_slots not looked at", _seeing(agent_runs=0))
in_core("a host that drains starts things", _seeing(draining=False))
in_core("crash loop not counted", lambda: put(ladder, "_can_resume", _never_crashed))
in_core("a heartbeat says nothing", lambda: put(session_rules, "_fresh", lambda *_: False))

# --- the rules: breaker and seat --------------------------------------------------------------------------------


def _unmoved(agent: Agent, _policy: Policy, _now: datetime) -> Agent:
    return agent


def _whoever(agent: Agent, session_id: str, *, held: bool) -> Agent:
    del held
    return take_seat(agent, session_id)


in_core("the breaker never opens", lambda: put(agent_rules, "wake_failed", _unmoved))
in_core(
    "what was never tried opens the breaker", lambda: put(wake_judgement, "_held_up", lambda _wake: False)
)
in_core("a run's proof takes the seat from a living terminal", lambda: put(run_shell, "offer_seat", _whoever))

# --- the shell ---------------------------------------------------------------------------------------------------


@in_shell("a probe for every wake")
class _AllProbe(Shell):
    def take_probe(self, uow: UnitOfWork, agent_id: str, seen: datetime, now: datetime) -> Steps[None]:
        del uow, agent_id, seen, now
        yield from ()


@in_shell("the probe is taken by all who saw it free")
class _ProbeUnguarded(Shell):
    def take_probe(self, uow: UnitOfWork, agent_id: str, seen: datetime, now: datetime) -> Steps[None]:
        yield from self.change_agent(
            uow, agent_id, lambda agent: agent_rules.take_probe(agent, self.policy, now)
        )
        del seen


@in_shell("a moved wake is not rung at its new host")
class _RungAtOld(Shell):
    def ring_host(self, old: str, new: str) -> str:
        del new
        return old


@in_shell("what is in a hand follows its agent elsewhere")
class _AllFollow(Shell):
    follows = frozenset(OPEN)


@in_shell("ABSENT joins riders")
class _AbsentJoins(Shell):
    def joins(self, evidence: Evidence) -> bool:
        del evidence
        return True


@in_shell("a slot is not freed at the end")
class _SlotKept(Shell):
    def free_slot(self, uow: UnitOfWork, run: Run) -> Steps[None]:
        del uow, run
        yield from ()


@in_shell("one slot too many")
class _OneMore(Shell):
    def facts(self, uow: UnitOfWork, row: WakeRow, now: datetime) -> Facts:
        return replace(super().facts(uow, row, now), slots_free=True)

    def take_slot(self, uow: UnitOfWork, host: str, run_id: str) -> int:
        last = self.policy.host_slots + 1
        try:
            return super().take_slot(uow, host, run_id)
        except Duplicate:
            if uow.get("slot", host, last) is None and uow.try_lock("slot", host, last):
                uow.put("slot", host, last, value=run_id)
                return last
            raise


@in_shell("a second run in a session")
class _SecondRun(Shell):
    def run_in(self, uow: UnitOfWork, session_id: str) -> Run | None:
        del uow, session_id
        return None


@in_shell("without the agent's lock")
class _AgentUnlocked(Shell):
    def lock_agent(self, uow: UnitOfWork, agent_id: str) -> Steps[None]:
        del uow, agent_id
        yield from ()


@in_shell("the seat is looked at before the agent's lock")
class _SeatBeforeLock(Shell):
    def offer_seat(self, uow: UnitOfWork, agent_id: str, session_id: str) -> Steps[None]:
        held = self.seat_held(uow, agent_id, session_id, uow.now())
        yield from self.work()
        yield from self.change_agent(
            uow, agent_id, lambda agent: agent_rules.offer_seat(agent, session_id, held=held)
        )


@in_shell("a run that nobody waits for is not ended")
class _LeftAlone(Shell):
    def end_unread_run(self, uow: UnitOfWork, attempt_id: str, why: str) -> Steps[None]:
        del uow, attempt_id, why
        yield from ()


@in_shell("a run whose message was read is ended")
class _NoThanks(Shell):
    def end_unread_run(self, uow: UnitOfWork, attempt_id: str, why: str) -> Steps[None]:
        run = self.run_of(uow, attempt_id)
        if run is not None:
            yield from self.ask_end(uow, run.run_id, why)


@in_shell("a terminal that comes does not end the run in its session")
class _Beside(Shell):
    def end_run_in(self, uow: UnitOfWork, session_id: str, why: str) -> Steps[None]:
        del uow, session_id, why
        yield from ()


@in_shell("a run is called lost before its host's term is over")
class _LostEarly(Shell):
    def runs_left(self) -> list[Run]:
        before = self.engine.now - timedelta(seconds=1.5)
        rows: list[Run] = [self.store.rows["run", run_id] for run_id in self.store.runs_open]
        hosts: dict[str, HostRow] = {host: self.store.rows["host", host] for host in self.hosts()}
        return [run for run in rows if hosts[run.host].seen_at < before]

    def not_seen(self, host: str) -> bool:
        row: HostRow = self.store.rows["host", host]
        return self.engine.now - row.seen_at > timedelta(seconds=1.5)


@in_shell("a notice for each wake of a dead agent")
class _Flood(Shell):
    def notify(self, uow: UnitOfWork, wake: Wake, effect: Notify) -> None:
        super().notify(uow, wake, effect)
        super().notify(uow, wake, replace(effect, cause=f"{effect.cause}:{wake.wake_id}"))


# --- hosts, books, shims -----------------------------------------------------------------------------------------


def _nothing(*_args: object, **_names: object) -> None:
    return None


def _sweeps_nothing(_book: Book, _keep: set[str]) -> set[str]:
    return set()


in_core("a lost run is not swept", lambda: put(Book, "sweep", _sweeps_nothing))
in_core(
    "a start that comes too late is a start",
    lambda: both(put(Book, "refuse", _nothing), put(Worker, "late", lambda *_: False)),
)
in_core("runs outlive their worker", lambda: put(Book, "orphan", _nothing))
in_core(
    "the fence of a host that is cut off is not enforced", lambda: put(Shim, "fenced", lambda _shim: False)
)
in_core("nobody ends a run at its kill_at", lambda: put(Shim, "_kill_at", _nothing))
in_core("a renewal that came late lets runs live on", lambda: put(Worker, "renews", lambda *_: True))
in_core(
    "a worker starts what belongs elsewhere",
    lambda: put(Worker, "elsewhere", lambda it, _host: it.host is None),
)
in_core("a terminal that never left is started beside", lambda: put(Worker, "in_the_way", lambda *_: False))
