"""Planted bugs in the rules of wakes, and in the shell's steps around them."""

from dataclasses import replace
from datetime import datetime, timedelta

from bridge.core import wake_judgement, wake_rules
from bridge.core.effects import Notify
from bridge.core.ladder import Facts
from bridge.core.policy import Policy
from bridge.core.session import Released, Session
from bridge.core.session import decide as decide_session
from bridge.core.states import Rung, ThreadStatus, WaitReason, WakeState
from bridge.core.thread import Posted, StallChecked, Thread
from bridge.core.thread import decide as decide_thread
from bridge.core.wake import Decision
from bridge.core.wake_events import Due, HandedOver, Postponed, SignOfLife, TargetRaised, Wake
from bridge.ports.runtime import Line
from bridge.simulation.engine import Dice, Engine, Steps, us_of
from bridge.simulation.store import Store, ThreadRow, UnitOfWork, WakeRow
from bridge.simulation.terminal import Terminal
from bridge.simulation.threads import Shell
from bridge.simulation.wakes import Advanced
from tests.simulation.planted import OPEN, Ring, Rule, S, both, in_core, in_shell, put, rule

# --- the core ----------------------------------------------------------------------------------------------------

in_core("fence not checked", lambda: put(wake_rules, "check_fence", lambda _wake, _fence: None))


def _any_fence(old: Rule) -> Rule:
    def taken(wake: Wake, event: HandedOver, policy: Policy, now: datetime) -> Decision:
        return old(wake, replace(event, fence=wake.fence), policy, now)

    return taken


in_core("outcome with an old fence taken", lambda: rule(_any_fence, (S.TOUCHING, HandedOver)))


def _after_due(old: Rule) -> Rule:
    def later(wake: Wake, event: Due, policy: Policy, now: datetime) -> Decision:
        return Decision(wake) if now <= wake.due_at else old(wake, event, policy, now)

    return later


in_core("> for >= at due", lambda: rule(_after_due, *((state, Due) for state in OPEN)))


def _burning(old: Rule) -> Rule:
    def burns(wake: Wake, event: Postponed, policy: Policy, now: datetime) -> Decision:
        after, effects = old(wake, event, policy, now)
        return Decision(
            replace(after, tried=wake_judgement.burn(after.tried, after.rung or Rung.LIVE)), effects
        )

    return burns


in_core("deferral burns a try", lambda: rule(_burning, (S.DELIVERING, Postponed)))


def _resetting(old: Rule) -> Rule:
    def resets(wake: Wake, event: TargetRaised, policy: Policy, now: datetime) -> Decision:
        after, effects = old(wake, event, policy, now)
        return Decision(replace(after, tried=replace(after.tried, live=0, resume=0, spawn=0)), effects)

    return resets


in_core(
    "raising the target resets tries", lambda: rule(_resetting, *((state, TargetRaised) for state in OPEN))
)


def _not_looking(old: Rule) -> Rule:
    def sure(wake: Wake, event: Due, policy: Policy, now: datetime) -> Decision:
        after, effects = old(wake, event, policy, now)
        return Decision(replace(after, unsure=False), effects)

    return sure


in_core("lease end while touching types again", lambda: rule(_not_looking, (S.TOUCHING, Due)))


def _swallowing(wake: Wake, why: str) -> Decision:
    return wake_judgement.end(replace(wake, why=why), WakeState.CANCELLED)


in_core(
    "a cancel noted while typing swallows what comes later",
    lambda: put(wake_judgement, "_cancelled", _swallowing),
)


in_core(
    "joining burns tries that the ladder has not",
    lambda: put(wake_rules, "_burn_if_left", lambda tried, rung, _policy: wake_judgement.burn(tried, rung)),
)


def _acking(old: Rule) -> Rule:
    def acks(wake: Wake, event: HandedOver, policy: Policy, now: datetime) -> Decision:
        after, effects = old(wake, event, policy, now)
        if after.accepted_at is not None and after.state is WakeState.WAITING:
            return Decision(replace(after, state=WakeState.ACKED), wake_judgement.leave(after, "acked"))
        return Decision(after, effects)

    return acks


in_core("accepted is taken for read", lambda: rule(_acking, (S.TOUCHING, HandedOver)))


def _immortal(old: Rule) -> Rule:
    def lives_on(wake: Wake, event: SignOfLife, policy: Policy, now: datetime) -> Decision:
        after, effects = old(wake, event, policy, now)
        return Decision(replace(after, dies_at=after.dies_at + timedelta(seconds=1)), effects)

    return lives_on


in_core(
    "a sign of life moves death", lambda: rule(_immortal, (S.WAITING, SignOfLife), (S.PENDING, SignOfLife))
)


def _endless(old: Rule) -> Rule:
    def again(wake: Wake, event: Due, policy: Policy, now: datetime) -> Decision:
        after, effects = old(wake, event, policy, now)
        if after.state is not WakeState.FAILED:
            return Decision(after, effects)
        return wake_judgement.wait(
            replace(wake, why=after.why), WaitReason.BACKOFF, now + timedelta(seconds=2), now
        )

    return again


in_core("the last try is followed by another", lambda: rule(_endless, (S.WAITING, Due), (S.PENDING, Due)))


Stop = tuple[WaitReason, datetime] | None
STOPPED = wake_judgement.stopped


def _pauses_only(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> Stop:
    del wake
    if facts.paused is None:
        return None
    return WaitReason.PAUSED, now + timedelta(seconds=policy.recheck_s)


in_core(
    "a hold is not looked at",
    lambda: both(put(wake_judgement, "stopped", _pauses_only), put(wake_rules, "stopped", _pauses_only)),
)
in_core("a hold that comes before touching is not seen", lambda: put(wake_rules, "stopped", _pauses_only))


def _terminals_only(wake: Wake, facts: Facts, policy: Policy, now: datetime) -> Stop:
    live = facts.session is not None and facts.session.live
    return (STOPPED if live else _pauses_only)(wake, facts, policy, now)


in_core(
    "a process is started for a held session",
    lambda: both(
        put(wake_judgement, "stopped", _terminals_only), put(wake_rules, "stopped", _terminals_only)
    ),
)


def _held_is_human(wake: Wake, now: datetime) -> float:
    human = wake.reason in (WaitReason.HUMAN, WaitReason.HELD)
    return (now - wake.since).total_seconds() if human else 0.0


in_core("a hold counts as a human who types", lambda: put(wake_rules, "human_s", _held_is_human))


def _waiting_it_out(old: Rule) -> Rule:
    def outlives(wake: Wake, event: Due, policy: Policy, now: datetime) -> Decision:
        after, effects = old(wake, event, policy, now)
        if after.reason is WaitReason.HELD:
            after = replace(after, dies_at=after.dies_at + timedelta(seconds=1))
        return Decision(after, effects)

    return outlives


in_core("a hold moves death", lambda: rule(_waiting_it_out, (S.PENDING, Due)))


# --- the shell ---------------------------------------------------------------------------------------------------


@in_shell("wake not reopened on unblock")
class _NotReopened(Shell):
    def open_unread(self, uow: UnitOfWork, thread_id: str, now: datetime) -> Steps[None]:
        del uow, thread_id, now
        yield from ()


@in_shell("SKIP LOCKED by id")
class _SkipLocked(Shell):
    def advance(self, wake_id: str, hand: str) -> Steps[Advanced]:
        wake: Wake = self.store.get("wake", wake_id).wake
        if self.store.is_locked("wake", wake.thread_id, wake.agent_id):
            return Advanced(wake, self.store.get("wake", wake_id).host, absorbed=True)
        return (yield from super().advance(wake_id, hand))


class _StartOfTransaction(UnitOfWork):
    __slots__ = ("begun",)

    def __init__(self, store: Store, hand: str) -> None:
        super().__init__(store, hand)
        self.begun = store.engine.now

    def now(self, *not_before: datetime) -> datetime:
        return max(self.begun, *not_before) if not_before else self.begun


@in_shell("clock read before the lock")
class _StaleClock(Shell):
    def __init__(self, engine: Engine, store: Store, policy: Policy, rng: Dice, ring: Ring) -> None:
        super().__init__(engine, store, policy, rng, ring)
        self.store.unit = _StartOfTransaction


@in_shell("a second attempt per session")
class _Second(Shell):
    def refuse_second(self, in_flight: tuple[str, ...]) -> None:
        del in_flight

    def facts(self, uow: UnitOfWork, row: WakeRow, now: datetime) -> Facts:
        facts = super().facts(uow, row, now)
        session = facts.session and replace(facts.session, in_flight=False)
        return replace(facts, session=session, slots_free=True)


@in_shell("an ended wake with unread left not reopened")
class _NotNext(Shell):
    def open_next(self, uow: UnitOfWork, old: Wake, target_seq: int, now: datetime) -> Steps[None]:
        del uow, old, target_seq, now
        yield from ()


@in_shell("a tick without its guard")
class _Unguarded(Shell):
    def escalate(self, thread_id: str) -> Steps[None]:
        row: ThreadRow = self.store.get("thread", thread_id)
        decision = decide_thread(row.thread, StallChecked(), self.policy, self.engine.now)
        yield 0.1
        uow = self.store.begin("tick")
        uow.put("thread", thread_id, value=ThreadRow(decision.state, self.engine.now))
        uow.commit()


@in_shell("nobody is told of a failed wake")
class _Silent(Shell):
    def notify(self, uow: UnitOfWork, wake: Wake, effect: Notify) -> None:
        del uow, wake, effect


@in_shell("two open wakes for one thread and agent")
class _Double(Shell):
    def standing(self, uow: UnitOfWork, thread_id: str, agent_id: str) -> str | None:
        del uow, thread_id, agent_id
        return None


@in_shell("a post that takes no lock")
class _NoLock(Shell):
    def lock_thread(self, uow: UnitOfWork, thread_id: str) -> Steps[ThreadRow]:
        yield from ()
        row: ThreadRow = uow.get("thread", thread_id)
        return row


@in_shell("a ring that never runs out")
class _RungForEver(Shell):
    def rung_until(self, due: datetime) -> int:
        return us_of(due + timedelta(days=1))


@in_shell("an attempt is never left")
class _NeverLeft(Shell):
    def leave(self, uow: UnitOfWork, wake: Wake, attempt_id: str, result: str) -> Steps[None]:
        del uow, wake, attempt_id, result
        yield from ()


@in_shell("the wakes are born after the message's commit")
class _LateBirth(Shell):
    def open_wakes(self, *args: object) -> Steps[None]:
        del args
        yield from ()


@in_shell("the fast post does not look at the thread's status")
class _FastAndBlind(Shell):
    def fast(self, thread: Thread, posted: Posted, now: datetime) -> Thread | None:
        active = super().fast(replace(thread, status=ThreadStatus.ACTIVE), posted, now)
        return active and replace(active, status=thread.status)


@in_shell("another terminal of the session ends its hold")
class _NotKept(Shell):
    def attach(self, agent_id: str, session_id: str, host: str) -> Steps[int]:
        term = yield from super().attach(agent_id, session_id, host)
        session: Session = self.store.get("session", session_id)
        self.store.rows["session", session_id] = decide_session(session, Released(), self.engine.now)
        return term


@in_shell("whoever asks last for a hold is not heard")
class _FirstHold(Shell):
    def hold(self, session_id: str, for_s: float) -> Steps[None]:
        if self.store.get("session", session_id).hold(self.engine.now) is None:
            yield from super().hold(session_id, for_s)
        else:
            self.on_hold(session_id, for_s)


# --- the terminal ------------------------------------------------------------------------------------------------


def _always(_terminal: Terminal, _line: Line) -> bool:
    return True


in_core("Enter without a look at the box", lambda: put(Terminal, "recognised", _always))
