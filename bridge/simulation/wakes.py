"""The shell's half that moves wakes, as the commands do: lock, clock, facts, decide, record, commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from bridge.core import agent as breaker
from bridge.core.effects import (
    BeginAttempt,
    Probe,
)
from bridge.core.errors import Conflict, Unavailable
from bridge.core.session import Held, Released, Session
from bridge.core.session import decide as decide_session
from bridge.core.states import WAKE_FINAL, Evidence, Rung, WaitReason, WakeState
from bridge.core.wake import Event
from bridge.core.wake_events import (
    Accepted,
    CancelAsked,
    Due,
    Forced,
    HandedOver,
    Joined,
    Postponed,
    SessionLost,
    SignOfLife,
    TouchAllowed,
    Wake,
)
from bridge.simulation.engine import Steps
from bridge.simulation.records import HANDED, ProbeTaken, Recorder
from bridge.simulation.store import Duplicate, Offer, UnitOfWork, WakeRow


class Advanced(NamedTuple):
    """What a ring came to. `absorbed`: there was nothing to do."""

    wake: Wake
    host: str
    probe: Probe | None = None
    absorbed: bool = False


FREED = frozenset({WaitReason.SLOT, WaitReason.BUSY, WaitReason.HELD})


class WakeShell(Recorder):
    """Commands on wakes."""

    follows = frozenset({WakeState.PENDING, WakeState.WAITING})
    on_hold: Callable[[str, float], None] = staticmethod(lambda _session, _for_s: None)

    def finish(self, uow: UnitOfWork) -> Steps[None]:
        """After the commit, and only then: the doorbell, and whose session became free."""
        if uow.ring:
            self.ring(uow.ring)
        for agent_id in uow.roused:
            yield from self.rouse(agent_id, alive=False)

    def advance(self, wake_id: str, hand: str) -> Steps[Advanced]:
        """Answer a ring: claim, or judge the lease or deadline that ended."""
        try:
            return (yield from self._advance(wake_id, hand))
        except ProbeTaken:  # judged again, it sees who probes
            return (yield from self._advance(wake_id, hand))

    def _advance(self, wake_id: str, hand: str) -> Steps[Advanced]:
        uow = self.store.begin(hand)
        try:
            row = yield from self.lock_wake(uow, wake_id)
            now = self.clock(uow, row)
            if row.wake.state in WAKE_FINAL:
                return Advanced(row.wake, row.host, absorbed=True)
            if now < row.wake.due_at:
                uow.put("rung", wake_id, value=None)
                uow.commit()
                return Advanced(row.wake, row.host, absorbed=True)
            facts = self.facts(uow, row, now)
            yield from self.work()
            decision = yield from self.record(uow, row, Due(facts, hand), now)
            uow.commit()
        finally:
            uow.end()
        yield from self.finish(uow)
        probes = [effect for effect in decision.effects if isinstance(effect, Probe)]
        return Advanced(decision.state, row.host, probes[0] if probes else None)

    def touch(self, wake_id: str, fence: int, hand: str) -> Steps[BeginAttempt | None]:
        """Commit `touching`, the attempt and its run; None when it cannot begin now."""
        try:
            return (yield from self._touch(wake_id, fence, hand, taken=False))
        except Duplicate:
            return (yield from self._touch(wake_id, fence, hand, taken=True))

    def _touch(self, wake_id: str, fence: int, hand: str, *, taken: bool) -> Steps[BeginAttempt | None]:
        uow = self.store.begin(hand)
        try:
            row = yield from self.lock_wake(uow, wake_id)
            if row.wake.rung is not Rung.LIVE:
                yield from self.lock_agent(uow, row.wake.agent_id)
            now = self.clock(uow, row)
            facts = self.facts(uow, row, now)
            if taken:
                session = facts.session and replace(facts.session, in_flight=True)
                facts = replace(facts, session=session, slots_free=False)
            yield from self.work()
            touched = TouchAllowed(fence, facts, self.new_id(f"{row.wake.agent_id}/s"))
            decision = yield from self.record(uow, row, touched, now)
            uow.commit()
        finally:
            uow.end()
        yield from self.finish(uow)
        begun = [effect for effect in decision.effects if isinstance(effect, BeginAttempt)]
        return begun[0] if begun else None

    def settle(
        self, wake_id: str, begun: BeginAttempt, evidence: Evidence, reason: WaitReason, why: str, hand: str
    ) -> Steps[None]:
        """Record the outcome; every wake that the line told of moves with it."""
        uow = self.store.begin(hand)
        try:
            rows = yield from self.lock_attempt(uow, begun.attempt_id)
            offers: dict[str, Offer] = uow.get("offers", begun.attempt_id)
            row = rows.pop(wake_id)
            now = self.clock(uow, row, *rows.values())
            evidence = self._proved(uow, begun.attempt_id, evidence)
            event = HandedOver(begun.fence, evidence, self.facts(uow, row, now), reason, why)
            yield from self.work()
            if evidence in HANDED:
                handed = {wake_id: offers[wake_id]._replace(handed=True)}
                uow.put("offers", begun.attempt_id, value={**offers, **handed})
                self._told(uow, wake_id, begun)
                if self.joins(evidence):
                    yield from self._join(uow, row.wake, begun, list(rows.values()), evidence, now)
            yield from self.record(uow, row, event, now)
            uow.commit()
        finally:
            uow.end()
        yield from self.finish(uow)

    def joins(self, evidence: Evidence) -> bool:
        """Whether the line told of the others too: what only looked for an earlier one told of nothing."""
        return evidence is not Evidence.ABSENT

    def _proved(self, uow: UnitOfWork, attempt_id: str, evidence: Evidence) -> Evidence:
        """A run may prove whose it is before the hand that started it reports."""
        run = self.run_of(uow, attempt_id) if evidence is Evidence.UNVERIFIED else None
        return Evidence.ACCEPTED if run is not None and run.proved_at is not None else evidence

    def _join(
        self,
        uow: UnitOfWork,
        lead: Wake,
        begun: BeginAttempt,
        others: list[WakeRow],
        evidence: Evidence,
        now: datetime,
    ) -> Steps[None]:
        for row in others:
            if row.wake.state is not WakeState.PENDING:
                continue
            offers: dict[str, Offer] = dict(uow.get("offers", begun.attempt_id))
            offers[row.wake.wake_id] = offers[row.wake.wake_id]._replace(handed=True)
            uow.put("offers", begun.attempt_id, value=offers)
            self._told(uow, row.wake.wake_id, begun)
            joined = Joined(
                attempt_id=begun.attempt_id,
                offered_seq=offers[row.wake.wake_id].offered_seq,
                accepted=evidence is Evidence.ACCEPTED,
                rung=lead.rung or Rung.LIVE,
                session_id=lead.session_id or "",
            )
            yield from self.record(uow, row, joined, now)

    def _told(self, uow: UnitOfWork, wake_id: str, begun: BeginAttempt) -> None:
        if begun.rung is not Rung.LIVE:
            return
        told = uow.get("told_in", wake_id) or ()
        uow.put("told_in", wake_id, value=(*told, begun.session_id))

    def tell(self, wake_id: str, event: Event, hand: str) -> Steps[None]:
        """One event for one wake: postponed, accepted late, forced, cancelled."""
        uow = self.store.begin(hand)
        try:
            row = yield from self.lock_wake(uow, wake_id)
            now = self.clock(uow, row)
            yield from self.work()
            yield from self.record(uow, row, event, now)
            uow.commit()
        finally:
            uow.end()
        yield from self.finish(uow)

    def postpone(self, wake_id: str, fence: int, reason: WaitReason, why: str, hand: str) -> Steps[None]:
        """Give a claimed wake back."""
        yield from self.tell(wake_id, Postponed(fence, reason, why), hand)

    def accept(self, wake_id: str, attempt_id: str) -> Steps[None]:
        """Late evidence."""
        yield from self.tell(wake_id, Accepted(attempt_id), "late")

    def cancel(self, wake_id: str) -> Steps[None]:
        """An operator ends it."""
        yield from self.tell(wake_id, CancelAsked("enough"), "operator")

    def force(self, wake_id: str) -> Steps[None]:
        """An operator skips the wait."""
        yield from self.tell(wake_id, Forced("operator"), "operator")

    def hold(self, session_id: str, for_s: float) -> Steps[None]:
        """Somebody says to leave the session alone for so long, or (0) gives it back."""
        uow = self.store.begin("operator")
        try:
            yield from uow.lock("session", session_id)
            now = uow.now()
            session: Session = uow.get("session", session_id)
            until = now + timedelta(seconds=for_s)
            hold = session.hold(now)
            after = decide_session(session, Held(until, "operator") if for_s else Released(), now)
            uow.put("session", session_id, value=after)
            if hold is not None and until < hold.until:
                uow.roused.append(session.agent_id)
            yield from self.work()
            uow.commit()
            self.on_hold(session_id, (until - self.engine.now).total_seconds() if for_s else 0.0)
        finally:
            uow.end()
        yield from self.finish(uow)

    def rouse(self, agent_id: str, *, alive: bool) -> Steps[None]:
        """The agent's open wakes look again. Never fails: losing it costs time."""
        yield from self._each_open(agent_id, SignOfLife(), alive=alive)

    def lose(self, agent_id: str, session_id: str) -> Steps[None]:
        """The agent's session has ended."""
        yield from self._each_open(agent_id, SessionLost(session_id), alive=False)

    def _each_open(self, agent_id: str, event: SignOfLife | SessionLost, *, alive: bool) -> Steps[None]:
        uow = None
        try:
            uow = self.store.begin("rouse")
            pairs = [(thread_id, agent_id) for thread_id in self.threads_of[agent_id]]
            rows = yield from self.lock_picked(uow, pairs)
            now = self.clock(uow, *rows)
            for row in rows:
                if isinstance(event, SessionLost):
                    yield from self.record(uow, row, event, now)
                    continue
                moved = self._follow(uow, row)
                freed = row.wake.state is WakeState.PENDING and row.wake.reason in FREED
                if alive or freed:
                    yield from self.record(uow, moved, event, now)
            if alive:
                yield from self.change_agent(uow, agent_id, breaker.alive)
            uow.commit()
        except (Conflict, Unavailable):
            return
        finally:
            if uow is not None:
                uow.end()
        if uow.ring:
            self.ring(uow.ring)
        for other in uow.roused:
            yield from self._each_open(other, SignOfLife(), alive=False)

    def _follow(self, uow: UnitOfWork, row: WakeRow) -> WakeRow:
        """To the host where its agent is now; what is in a hand stays where that hand is."""
        host = uow.get("agent", row.wake.agent_id).host
        if host == row.host or row.wake.state not in self.follows:
            return row
        moved = row._replace(host=host)
        uow.put("wake", row.wake.wake_id, value=moved)
        return moved

    def rouse_waiter(self, wake_id: str) -> Steps[None]:
        """A slot became free: let this one look now, if it still waits for one."""
        uow = self.store.begin("host")
        try:
            row = yield from self.lock_wake(uow, wake_id)
            if (row.wake.state, row.wake.reason) == (WakeState.PENDING, WaitReason.SLOT):
                yield from self.record(uow, row, SignOfLife(), self.clock(uow, row))
                uow.commit()
        finally:
            uow.end()
        yield from self.finish(uow)
