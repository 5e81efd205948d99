"""The guarded record of a decision about a wake, and the effects that belong into its transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bridge.core import agent as breaker
from bridge.core.agent import Agent
from bridge.core.effects import (
    BeginAttempt,
    Effect,
    LeaveAttempt,
    MarkUnreachable,
    MoveTo,
    Notify,
    OpenNext,
    TakeProbe,
)
from bridge.core.errors import Conflict
from bridge.core.states import WAKE_FINAL, Evidence, MessageKind, Rung, ThreadStatus, WaitReason, WakeState
from bridge.core.wake import Decision, Event, birth, decide
from bridge.core.wake_events import TargetRaised, Wake
from bridge.simulation.engine import SECOND, Steps, us_of
from bridge.simulation.facts import MINUTE
from bridge.simulation.run_rows import RunRows
from bridge.simulation.store import Attempt, Duplicate, Message, Notice, Offer, Said, UnitOfWork, WakeRow

OPERATORS = "operators"
HANDED = frozenset({Evidence.ACCEPTED, Evidence.UNVERIFIED, Evidence.STRANDED, Evidence.ABSENT})
OPEN_THREAD = frozenset({ThreadStatus.ACTIVE, ThreadStatus.RESOLVED})
LOCK_ORDER: tuple[type[Effect], ...] = (
    MarkUnreachable,
    TakeProbe,
    OpenNext,
    BeginAttempt,
    LeaveAttempt,
    Notify,
)


class ProbeTaken(Conflict):
    """Another wake took the agent's probe since this one was judged."""


class Recorder(RunRows):
    """How a decision is stored."""

    def record(self, uow: UnitOfWork, row: WakeRow, event: Event, now: datetime) -> Steps[Decision]:
        """Judge, store under the guard of the version, carry out the effects."""
        decision = decide(row.wake, event, self.policy, now)
        uow.said.append(Said(row.wake, event, decision, now, uow.hand))
        host = row.host
        for effect in decision.effects:
            if isinstance(effect, MoveTo):
                host = effect.host
        if decision.state != row.wake or host != row.host:
            self._store(uow, row, decision.state, host, now)
        for effect in sorted(decision.effects, key=_in_lock_order):
            yield from self._carry_out(uow, decision.state, effect, host, now)
        return decision

    def _store(self, uow: UnitOfWork, old: WakeRow, new: Wake, host: str, now: datetime) -> None:
        current: WakeRow = uow.get("wake", new.wake_id)
        if current.version != old.version:
            raise Conflict("the wake was changed by another hand")
        uow.put("wake", new.wake_id, value=WakeRow(new, old.version + 1, now, host))
        if new.state in WAKE_FINAL:
            uow.put("open", new.thread_id, new.agent_id, value=None)
            return
        due_now = new.due_at <= now
        uow.put("rung", new.wake_id, value=self.rung_until(new.due_at) if due_now else None)
        if due_now:
            uow.ring.append((new.wake_id, self.ring_host(old.host, host)))

    def ring_host(self, old: str, new: str) -> str:
        """Whose worker is to look."""
        del old
        return new

    # --- effects -------------------------------------------------------------------------------------------

    def _carry_out(
        self, uow: UnitOfWork, wake: Wake, effect: Effect, host: str, now: datetime
    ) -> Steps[None]:
        match effect:
            case BeginAttempt():
                yield from self.begin(uow, wake, effect, host, now)
            case LeaveAttempt():
                yield from self.leave(uow, wake, effect.attempt_id, effect.result)
            case OpenNext():
                yield from self.open_next(uow, wake, effect.target_seq, now)
            case Notify():
                self.notify(uow, wake, effect)
            case MarkUnreachable():
                yield from self.change_agent(
                    uow, wake.agent_id, lambda agent: breaker.wake_failed(agent, self.policy, now)
                )
            case TakeProbe():
                yield from self.take_probe(uow, wake.agent_id, effect.seen, now)
            case _:
                return

    def take_probe(self, uow: UnitOfWork, agent_id: str, seen: datetime, now: datetime) -> Steps[None]:
        """The one probe, which was due at `seen`. Raises ProbeTaken."""
        yield from self.lock_agent(uow, agent_id)
        if breaker.probe_is_taken(uow.get("agent", agent_id), seen):
            raise ProbeTaken
        yield from self.change_agent(uow, agent_id, lambda agent: breaker.take_probe(agent, self.policy, now))

    def begin(
        self, uow: UnitOfWork, wake: Wake, effect: BeginAttempt, host: str, now: datetime
    ) -> Steps[None]:
        """The attempt, every wake that it tells of, and its run. Raises Duplicate for a session that is taken."""
        run = None
        if effect.rung is not Rung.LIVE:
            run = self.reserve_run(uow, wake.agent_id, effect, host, wake.worker or "?", now)
        session, attempt_id = effect.session_id, effect.attempt_id
        yield from uow.lock("inflight", session)
        in_flight: tuple[str, ...] = uow.get("inflight", session) or ()
        self.refuse_second(in_flight)
        uow.put("inflight", session, value=(*in_flight, attempt_id))
        attempt = Attempt(wake.wake_id, wake.agent_id, session, effect.rung, is_open=True)
        uow.put("attempt", attempt_id, value=attempt)
        offers = {wake.wake_id: Offer(wake.target_seq)}
        for thread_id in self.threads_of[wake.agent_id]:
            other_id = uow.get("open", thread_id, wake.agent_id)
            other: Wake = uow.get("wake", other_id).wake if other_id else wake
            waits = other.due_at <= now or other.reason is WaitReason.SLOT
            if waits and other.state is WakeState.PENDING:
                offers[other_id] = Offer(other.target_seq)
        uow.put("offers", attempt_id, value=offers)
        begun = uow.get("begun", wake.thread_id, wake.agent_id) or ()
        recent = tuple(moment for moment in begun if now - moment < MINUTE)
        uow.put("begun", wake.thread_id, wake.agent_id, value=(*recent, now))
        if run is None:
            tried_in = uow.get("tried_in", wake.wake_id) or ()
            uow.put("tried_in", wake.wake_id, value=(*tried_in, attempt_id))
            return
        uow.put("run of", attempt_id, value=run.run_id)
        yield from self.insert_run(uow, run)

    def refuse_second(self, in_flight: tuple[str, ...]) -> None:
        """The partial unique index: one attempt in flight per session."""
        if in_flight:
            raise Duplicate

    def leave(self, uow: UnitOfWork, wake: Wake, attempt_id: str, result: str) -> Steps[None]:
        """Out of the attempt; the last one out frees the session, and ends a run that nobody waits for."""
        yield from uow.lock("attempt", attempt_id)
        attempt: Attempt = uow.get("attempt", attempt_id)
        offers: dict[str, Offer] = dict(uow.get("offers", attempt_id))
        if offers[wake.wake_id].result is None:
            offers[wake.wake_id] = offers[wake.wake_id]._replace(result=result)
            uow.put("offers", attempt_id, value=offers)
        within = any(
            offer.result is None and (offer.handed or wake_id == attempt.wake_id)
            for wake_id, offer in offers.items()
        )
        if within or not attempt.is_open:
            return
        uow.put("attempt", attempt_id, value=attempt._replace(is_open=False))
        yield from uow.lock("inflight", attempt.session_id)
        left = tuple(other for other in uow.get("inflight", attempt.session_id) if other != attempt_id)
        uow.put("inflight", attempt.session_id, value=left)
        yield from self.end_unread_run(uow, attempt_id, wake.why or result)
        uow.roused.append(wake.agent_id)

    def open_next(self, uow: UnitOfWork, old: Wake, target_seq: int, now: datetime) -> Steps[None]:
        """The next wake, behind the breaker if that is open; none in a thread that is not open."""
        agent: Agent = uow.get("agent", old.agent_id)
        if uow.get("thread", old.thread_id).thread.status not in OPEN_THREAD and not agent.is_human:
            return
        reason = WaitReason.UNREACHABLE if agent.probe_at else WaitReason.FIRST
        yield from self.insert_wake(uow, old.thread_id, old.agent_id, target_seq, now, reason)

    def insert_wake(
        self,
        uow: UnitOfWork,
        thread_id: str,
        agent_id: str,
        target_seq: int,
        now: datetime,
        reason: WaitReason,
        delay_s: float = 0.0,
        slowed_s: float = 0.0,
    ) -> Steps[str]:
        """Open a wake, or raise the target of the one that is open."""
        yield from uow.lock("wake", thread_id, agent_id)
        standing = self.standing(uow, thread_id, agent_id)
        if standing:
            row: WakeRow = uow.get("wake", standing)
            raised = decide(row.wake, TargetRaised(target_seq), self.policy, now)
            uow.said.append(Said(row.wake, TargetRaised(target_seq), raised, now, uow.hand))
            new = WakeRow(raised.state, row.version + 1, max(row.updated_at, now), row.host)
            uow.put("wake", standing, value=new)
            return standing
        born = birth(
            wake_id=self.new_id("w"),
            workspace_id="ws",
            thread_id=thread_id,
            agent_id=agent_id,
            target_seq=target_seq,
            policy=self.policy,
            now=now,
            reason=reason,
            delay_s=delay_s,
        )
        agent: Agent = uow.get("agent", agent_id)
        due = born.due_at + timedelta(seconds=slowed_s)
        if reason is WaitReason.UNREACHABLE and agent.probe_at is not None:
            due = max(due, agent.probe_at)
        born = replace(born, due_at=min(due, born.dies_at))
        uow.put("wake", born.wake_id, value=WakeRow(born, 1, now, agent.host))
        uow.put("open", thread_id, agent_id, value=born.wake_id)
        uow.put("rung", born.wake_id, value=self.rung_until(born.due_at) if born.due_at <= now else None)
        if born.due_at <= now:
            uow.ring.append((born.wake_id, agent.host))
        return born.wake_id

    def standing(self, uow: UnitOfWork, thread_id: str, agent_id: str) -> str | None:
        """The partial unique index: the one wake that is open."""
        wake_id: str | None = uow.get("open", thread_id, agent_id)
        return wake_id

    def rung_until(self, due: datetime) -> int:
        """How long the committer's own ring counts."""
        return us_of(due) + SECOND

    def notify(self, uow: UnitOfWork, wake: Wake, effect: Notify) -> None:
        """A notice for the operators and each sender of what is unread; one for each cause."""
        audiences = {OPERATORS: None}
        if effect.tell_sender:
            cursor = uow.get("cursor", wake.thread_id, wake.agent_id)
            for seq in range(cursor + 1, wake.target_seq + 1):
                message: Message = uow.get("message", wake.thread_id, seq)
                if message.sender != wake.agent_id and message.kind is not MessageKind.SYSTEM:
                    audiences[message.sender] = None
        for audience in audiences:
            told: Notice | None = uow.get("notice", effect.cause, audience)
            wake_ids = (*(told.wake_ids if told else ()), wake.wake_id)
            uow.put("notice", effect.cause, audience, value=Notice(wake_ids))


def _in_lock_order(effect: Effect) -> int:
    return LOCK_ORDER.index(type(effect)) if isinstance(effect, LOCK_ORDER) else len(LOCK_ORDER)
