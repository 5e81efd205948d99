"""What commands read: locks, the clock, and the facts about an agent, its session, its host and its runs.

Every transaction may take its time between what it read and its commit, so that others wait for its locks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from bridge.core.agent import Agent
from bridge.core.ladder import Facts, SessionFacts
from bridge.core.policy import Policy
from bridge.core.run import Run
from bridge.core.session import Session
from bridge.core.session import facts as session_facts
from bridge.core.states import WAKE_FINAL, Rung, RunResult, RunState, SessionStatus
from bridge.core.wake_events import Wake
from bridge.simulation.engine import Dice, Engine, Steps
from bridge.simulation.store import Attempt, HostRow, Offer, Store, UnitOfWork, WakeRow

TERM_S = 4.0
"""The real ones are five times as long; what is compared here is shortened with it."""
HOST_SEEN_FOR = timedelta(seconds=TERM_S)
MINUTE = timedelta(seconds=60)
BY_ITSELF = frozenset({RunResult.EXITED, RunResult.CRASHED})
READ = frozenset({"acked", "already_active"})


class Reader:
    """What commands are made of before they decide. `ring` is what goes out after a commit."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        policy: Policy,
        rng: Dice,
        ring: Callable[[list[tuple[str, str]]], None],
    ) -> None:
        self.engine, self.store, self.policy, self.rng, self.ring = engine, store, policy, rng, ring
        self.slowness = 0.06  # how often a transaction takes its time
        self.members: dict[str, list[str]] = {}
        self.threads_of: dict[str, list[str]] = {}
        self.starts: dict[tuple[str, str], frozenset[Rung]] = {}  # by host and agent: its preset's rungs
        self._ids = 0

    def new_id(self, kind: str) -> str:
        """A name for what does not exist yet."""
        self._ids += 1
        return f"{kind}{self._ids}"

    def work(self) -> Steps[None]:
        """Time that passes inside a transaction."""
        if self.rng.chance(self.slowness):
            yield self.rng.choice((0.01, 0.05, 0.3, 0.7))

    def clock(self, uow: UnitOfWork, *rows: WakeRow) -> datetime:
        """The clock, after the lock, never earlier than what the rows have seen."""
        return uow.now(*(row.updated_at for row in rows))

    # --- locks ---------------------------------------------------------------------------------------------

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

    def lock_attempt(self, uow: UnitOfWork, attempt_id: str) -> Steps[dict[str, WakeRow]]:
        """Every wake that the attempt tells of, in order of the thread."""
        offers: dict[str, Offer] = uow.get("offers", attempt_id) or {}
        rows: dict[str, WakeRow] = {}
        for wake_id in sorted(offers, key=lambda it: str(uow.get("wake", it).wake.thread_id)):
            rows[wake_id] = yield from self.lock_wake(uow, wake_id)
        return rows

    def lock_agent(self, uow: UnitOfWork, agent_id: str) -> Steps[None]:
        """The agent under its lock."""
        yield from uow.lock("agent", agent_id)

    def change_agent(self, uow: UnitOfWork, agent_id: str, change: Callable[[Agent], Agent]) -> Steps[Agent]:
        """The agent under its lock, as a rule of the core changes it."""
        yield from uow.lock("agent", agent_id)
        old: Agent = uow.get("agent", agent_id)
        changed = change(old)
        if changed != old:
            uow.put("agent", agent_id, value=changed)
        return changed

    # --- facts ---------------------------------------------------------------------------------------------

    def facts(self, uow: UnitOfWork, row: WakeRow, now: datetime) -> Facts:
        """What the clock's events need beyond the wake: read, never locked; as the wake's host sees it."""
        wake, host = row.wake, row.host
        agent: Agent = uow.get("agent", wake.agent_id)
        seen: HostRow = uow.get("host", host)
        begun = uow.get("begun", wake.thread_id, wake.agent_id) or ()
        runs = [run for run in self.open_runs(uow) if run.agent_id == wake.agent_id]
        return Facts(
            cursor=uow.get("cursor", wake.thread_id, wake.agent_id),
            thread_status=uow.get("thread", wake.thread_id).thread.status,
            agent_is_operator=agent.is_human,
            session=self._session(uow, wake, agent, host, now),
            can_start=self.starts[host, wake.agent_id],
            draining=seen.draining,
            elsewhere=self._elsewhere(uow, agent, host, now),
            slots_free=any(uow.get("slot", host, n) is None for n in range(1, self.policy.host_slots + 1)),
            agent_runs=len(runs),
            starting=any(
                run.rung is Rung.SPAWN and run.proved_at is None and run.attempt_id != wake.attempt_id
                for run in runs
            ),
            host_seen=now - seen.seen_at < HOST_SEEN_FOR,
            paused=uow.get("pause"),
            unreachable_until=agent.probe_at,
            wakes_last_minute=sum(1 for moment in begun if now - moment < MINUTE),
        )

    def open_runs(self, uow: UnitOfWork) -> Iterator[Run]:
        """The runs that have not ended, as the transaction sees them."""
        for run_id in self.store.runs_open:
            run: Run = uow.get("run", run_id)
            if run.state is not RunState.ENDED:
                yield run

    def run_in(self, uow: UnitOfWork, session_id: str) -> Run | None:
        """The one that holds the session."""
        for run in self.open_runs(uow):
            if run.session_id == session_id:
                return run
        return None

    def _session(
        self, uow: UnitOfWork, wake: Wake, agent: Agent, host: str, now: datetime
    ) -> SessionFacts | None:
        session_id = agent.seat_session_id
        if session_id is None:
            return None
        session: Session = uow.get("session", session_id)
        held = uow.get("inflight", session_id) or ()
        return session_facts(
            session,
            self.policy,
            now,
            in_flight=any(attempt != wake.attempt_id for attempt in held),
            running=self.run_in(uow, session_id) is not None,
            here=(session.host or agent.host) == host,
            crashes=self._crashes(uow, session_id, now),
            told=session_id in (uow.get("told_in", wake.wake_id) or ()),
            perhaps_told=self._perhaps_told(uow, wake.wake_id, session_id),
        )

    def _perhaps_told(self, uow: UnitOfWork, wake_id: str, session_id: str) -> bool:
        """An attempt of this wake was begun there, and may have typed."""
        for attempt_id in uow.get("tried_in", wake_id) or ():
            attempt: Attempt = uow.get("attempt", attempt_id)
            offer: Offer = uow.get("offers", attempt_id)[wake_id]
            if attempt.session_id == session_id and not offer.handed and offer.result != "not_touched":
                return True
        return False

    def _crashes(self, uow: UnitOfWork, session_id: str, now: datetime) -> int:
        since = now - timedelta(seconds=self.policy.crash_loop_window_s)
        found = 0
        for run_id in self.store.runs_in.get(session_id, ()):
            run: Run = uow.get("run", run_id)
            if run.ended_at is None or run.ended_at <= since or run.result not in BY_ITSELF:
                continue
            offers: dict[str, Offer] = uow.get("offers", run.attempt_id)
            found += not any(offer.result in READ for offer in offers.values())
        return found

    def _elsewhere(self, uow: UnitOfWork, agent: Agent, host: str, now: datetime) -> str | None:
        if agent.host != host and self._starts_things(uow, agent.host, now):
            return agent.host
        for name in self.policy.hosts:
            spawns = name != host and Rung.SPAWN in self.starts[name, agent.agent_id]
            if spawns and self._starts_things(uow, name, now):
                return name
        return None

    def _starts_things(self, uow: UnitOfWork, host: str, now: datetime) -> bool:
        row: HostRow = uow.get("host", host)
        return not row.draining and now - row.seen_at < HOST_SEEN_FOR

    def seat_held(self, uow: UnitOfWork, agent_id: str, session_id: str, now: datetime) -> bool:
        """Whether another session than this one holds the agent's seat, and lives."""
        other_id = uow.get("agent", agent_id).seat_session_id
        if other_id is None or other_id == session_id:
            return False
        other: Session = uow.get("session", other_id)
        beat = other.heartbeat_at
        fresh = beat is not None and now - beat < timedelta(seconds=self.policy.heartbeat_s_max)
        alive = fresh and other.status is not SessionStatus.OFFLINE
        return other.attached or alive or self.run_in(uow, other_id) is not None
