"""What every command of the shell is made of: locks, clock, facts, the guarded record and the effects of a decision.

Every transaction may take its time between what it read and its commit, so that others wait for its locks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from bridge.core import agent as breaker
from bridge.core.agent import Agent
from bridge.core.effects import (
    BeginAttempt,
    Effect,
    LeaveAttempt,
    MarkUnreachable,
    Notify,
    OpenNext,
    TakeProbe,
)
from bridge.core.errors import Conflict
from bridge.core.ladder import Facts
from bridge.core.policy import Policy
from bridge.core.session import facts as session_facts
from bridge.core.states import WAKE_FINAL, Evidence, MessageKind, Rung, ThreadStatus, WaitReason, WakeState
from bridge.core.wake import Decision, Event, birth, decide
from bridge.core.wake_events import (
    TargetRaised,
    Wake,
)
from bridge.simulation.engine import SECOND, Dice, Engine, Steps, us_of
from bridge.simulation.store import (
    Attempt,
    Duplicate,
    Message,
    Notice,
    Offer,
    Said,
    Store,
    UnitOfWork,
    WakeRow,
)

OPERATORS = "operators"
HOST_SEEN_FOR = timedelta(seconds=4)
HANDED = frozenset({Evidence.ACCEPTED, Evidence.UNVERIFIED, Evidence.STRANDED, Evidence.ABSENT})
OPEN_THREAD = frozenset({ThreadStatus.ACTIVE, ThreadStatus.RESOLVED})
MINUTE = timedelta(seconds=60)


class Recorder:
    """What commands are made of. `ring` is what goes out after a commit."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        policy: Policy,
        rng: Dice,
        ring: Callable[[list[str]], None],
    ) -> None:
        self.engine, self.store, self.policy, self.rng, self.ring = engine, store, policy, rng, ring
        self.slowness = 0.06  # how often a transaction takes its time
        self.members: dict[str, list[str]] = {}
        self.threads_of: dict[str, list[str]] = {}
        self.starts: dict[str, frozenset[Rung]] = {}
        self._ids = 0

    # --- what every command is made of ---------------------------------------------------------------------

    def work(self) -> Steps[None]:
        """Time that passes inside a transaction."""
        if self.rng.chance(self.slowness):
            yield self.rng.choice((0.01, 0.05, 0.3, 0.7))

    def new_session(self, agent_id: str) -> str:
        """A name for a session that does not exist yet."""
        self._ids += 1
        return f"{agent_id}/s{self._ids}"

    def lock_wake(self, uow: UnitOfWork, wake_id: str) -> Steps[WakeRow]:
        """The wake under its lock: waits for the other hand, then sees what that hand left."""
        row: WakeRow = uow.get("wake", wake_id)
        yield from uow.lock("wake", row.wake.thread_id, row.wake.agent_id)
        locked: WakeRow = uow.get("wake", wake_id)
        return locked

    def lock_picked(self, uow: UnitOfWork, pairs: list[tuple[str, str]]) -> Steps[list[WakeRow]]:
        """The open wakes of these pairs: picked before waiting, and left out if they have ended meanwhile."""
        picked = [wake_id for pair in pairs if (wake_id := uow.get("open", *pair))]
        found: list[WakeRow] = []
        for wake_id in picked:
            row = yield from self.lock_wake(uow, wake_id)
            if row.wake.state not in WAKE_FINAL:
                found.append(row)
        return found

    def clock(self, uow: UnitOfWork, *rows: WakeRow) -> datetime:
        """The clock, after the lock, never earlier than what the rows have seen."""
        return uow.now(*(row.updated_at for row in rows))

    def record(self, uow: UnitOfWork, row: WakeRow, event: Event, now: datetime) -> Steps[Decision]:
        """Judge, store under the guard of the version, carry out the effects."""
        decision = decide(row.wake, event, self.policy, now)
        uow.said.append(Said(row.wake, event, decision, now, uow.hand))
        if decision.state != row.wake:
            self._store(uow, row, decision.state, now)
        for effect in decision.effects:
            yield from self._carry_out(uow, decision.state, effect, now)
        return decision

    def _store(self, uow: UnitOfWork, old: WakeRow, new: Wake, now: datetime) -> None:
        current: WakeRow = uow.get("wake", new.wake_id)
        if current.version != old.version:
            raise Conflict("the wake was changed by another hand")
        uow.put("wake", new.wake_id, value=WakeRow(new, old.version + 1, now))
        if new.state in WAKE_FINAL:
            uow.put("open", new.thread_id, new.agent_id, value=None)
            return
        due_now = new.due_at <= now
        uow.put("rung", new.wake_id, value=self.rung_until(new.due_at) if due_now else None)
        if due_now:
            uow.ring.append(new.wake_id)

    # --- effects -------------------------------------------------------------------------------------------

    def _carry_out(self, uow: UnitOfWork, wake: Wake, effect: Effect, now: datetime) -> Steps[None]:
        match effect:
            case BeginAttempt():
                yield from self.begin(uow, wake, effect, now)
            case LeaveAttempt():
                yield from self.leave(uow, wake, effect.attempt_id)
            case OpenNext():
                yield from self.open_next(uow, wake, effect.target_seq, now)
            case Notify():
                self.notify(uow, wake, effect)
            case MarkUnreachable():
                yield from self.change_agent(
                    uow, wake.agent_id, lambda agent: breaker.wake_failed(agent, self.policy, now)
                )
            case TakeProbe():
                yield from self.change_agent(
                    uow, wake.agent_id, lambda agent: breaker.take_probe(agent, self.policy, now)
                )
            case _:
                return

    def begin(self, uow: UnitOfWork, wake: Wake, effect: BeginAttempt, now: datetime) -> Steps[None]:
        """The attempt, and every wake that its line tells of. Raises Duplicate when the session has one in flight."""
        session = effect.session_id
        yield from uow.lock("inflight", session)
        in_flight: tuple[str, ...] = uow.get("inflight", session) or ()
        self.refuse_second(in_flight)
        uow.put("inflight", session, value=(*in_flight, effect.attempt_id))
        uow.put(
            "attempt", effect.attempt_id, value=Attempt(wake.wake_id, wake.agent_id, session, is_open=True)
        )
        offers = {wake.wake_id: Offer(wake.target_seq)}
        for thread_id in self.threads_of[wake.agent_id]:
            other_id = uow.get("open", thread_id, wake.agent_id)
            other: Wake = uow.get("wake", other_id).wake if other_id else wake
            waits = other.due_at <= now or other.reason is WaitReason.SLOT
            if waits and other.state is WakeState.PENDING:
                offers[other_id] = Offer(other.target_seq)
        uow.put("offers", effect.attempt_id, value=offers)
        begun = uow.get("begun", wake.thread_id, wake.agent_id) or ()
        tried_in = uow.get("tried_in", wake.wake_id) or ()
        uow.put("tried_in", wake.wake_id, value=(*tried_in, session))
        recent = tuple(moment for moment in begun if now - moment < MINUTE)
        uow.put("begun", wake.thread_id, wake.agent_id, value=(*recent, now))

    def refuse_second(self, in_flight: tuple[str, ...]) -> None:
        """The partial unique index: one attempt in flight per session."""
        if in_flight:
            raise Duplicate

    def leave(self, uow: UnitOfWork, wake: Wake, attempt_id: str) -> Steps[None]:
        """Out of the attempt; the last one out frees the session."""
        yield from uow.lock("attempt", attempt_id)
        attempt: Attempt = uow.get("attempt", attempt_id)
        offers: dict[str, Offer] = dict(uow.get("offers", attempt_id))
        offers[wake.wake_id] = offers[wake.wake_id]._replace(left=True)
        uow.put("offers", attempt_id, value=offers)
        within = [
            wake_id
            for wake_id, offer in offers.items()
            if not offer.left and (offer.handed or wake_id == attempt.wake_id)
        ]
        if within or not attempt.is_open:
            return
        uow.put("attempt", attempt_id, value=attempt._replace(is_open=False))
        yield from uow.lock("inflight", attempt.session_id)
        left = tuple(other for other in uow.get("inflight", attempt.session_id) if other != attempt_id)
        uow.put("inflight", attempt.session_id, value=left)
        uow.roused.append(wake.agent_id)

    def open_next(self, uow: UnitOfWork, old: Wake, target_seq: int, now: datetime) -> Steps[None]:
        """The next wake, behind the breaker if that is open; none in a thread that is not open."""
        agent: Agent = yield from self.change_agent(uow, old.agent_id, lambda agent: agent)
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
            new = WakeRow(raised.state, row.version + 1, max(row.updated_at, now))
            uow.put("wake", standing, value=new)
            return standing
        self._ids += 1
        born = birth(
            wake_id=f"w{self._ids}",
            workspace_id="ws",
            thread_id=thread_id,
            agent_id=agent_id,
            target_seq=target_seq,
            policy=self.policy,
            now=now,
            reason=reason,
            delay_s=delay_s,
        )
        due = born.due_at + timedelta(seconds=slowed_s)
        probe_at = uow.get("agent", agent_id).probe_at
        if reason is WaitReason.UNREACHABLE and probe_at is not None:
            due = max(due, probe_at)
        born = replace(born, due_at=min(due, born.dies_at))
        uow.put("wake", born.wake_id, value=WakeRow(born, 1, now))
        uow.put("open", thread_id, agent_id, value=born.wake_id)
        uow.put("rung", born.wake_id, value=self.rung_until(born.due_at) if born.due_at <= now else None)
        if born.due_at <= now:
            uow.ring.append(born.wake_id)
        return born.wake_id

    def standing(self, uow: UnitOfWork, thread_id: str, agent_id: str) -> str | None:
        """The partial unique index: the one wake that is open."""
        wake_id: str | None = uow.get("open", thread_id, agent_id)
        return wake_id

    def rung_until(self, due: datetime) -> int:
        """How long the committer's own ring counts."""
        return us_of(due) + SECOND

    def change_agent(self, uow: UnitOfWork, agent_id: str, change: Callable[[Agent], Agent]) -> Steps[Agent]:
        """The agent under its lock, as a rule of the core changes it."""
        yield from uow.lock("agent", agent_id)
        changed = change(uow.get("agent", agent_id))
        uow.put("agent", agent_id, value=changed)
        return changed

    def notify(self, uow: UnitOfWork, wake: Wake, effect: Notify) -> None:
        """A notice for the operators and each sender of what is unread."""
        audiences = {OPERATORS: None}
        if effect.tell_sender:
            cursor = uow.get("cursor", wake.thread_id, wake.agent_id)
            for seq in range(cursor + 1, wake.target_seq + 1):
                message: Message = uow.get("message", wake.thread_id, seq)
                if message.sender != wake.agent_id and message.kind is not MessageKind.SYSTEM:
                    audiences[message.sender] = None
        for audience in audiences:
            uow.put("notice", wake.wake_id, audience, value=Notice(effect.cause, audience, wake.wake_id))

    # --- facts ---------------------------------------------------------------------------------------------

    def facts(self, uow: UnitOfWork, wake: Wake, now: datetime) -> Facts:
        """What the clock's events need beyond the wake: read, never locked."""
        agent: Agent = uow.get("agent", wake.agent_id)
        session = None
        if agent.seat_session_id is not None:
            row = uow.get("session", agent.seat_session_id)
            held = uow.get("inflight", agent.seat_session_id) or ()
            session = session_facts(
                row,
                self.policy,
                now,
                in_flight=any(attempt != wake.attempt_id for attempt in held),
                told=row.session_id in (uow.get("told_in", wake.wake_id) or ()),
                perhaps_told=row.session_id in (uow.get("tried_in", wake.wake_id) or ()),
            )
        begun = uow.get("begun", wake.thread_id, wake.agent_id) or ()
        return Facts(
            cursor=uow.get("cursor", wake.thread_id, wake.agent_id),
            thread_status=uow.get("thread", wake.thread_id).thread.status,
            agent_is_operator=agent.is_human,
            session=session,
            can_start=self.starts[wake.agent_id],
            host_seen=now - uow.get("host") < HOST_SEEN_FOR,
            paused=uow.get("pause"),
            unreachable_until=agent.probe_at,
            wakes_last_minute=sum(1 for moment in begun if now - moment < MINUTE),
        )
