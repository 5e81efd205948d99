"""Workers and what makes them look: the doorbell, two keepers, the standby. All of them fail.

A hand is one task run for one ring, as `tasks/deliver_wake.py`: claim, look, commit `touching`, hand over, settle. Its
worker may die, or the hand may freeze, between any two of its steps; a frozen one likes to come back when another
hand is at the same wake.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from bridge.core.effects import BeginAttempt, Probe
from bridge.core.errors import Conflict, FenceRejected, InvalidTransition
from bridge.core.policy import Policy
from bridge.core.states import WAKE_FINAL, Evidence, Rung, WaitReason
from bridge.core.wake_events import Wake
from bridge.ports.runtime import Handed, Line
from bridge.simulation.checks import Watch
from bridge.simulation.engine import SECOND, Dice, Engine, Park, Process, Steps, us_of
from bridge.simulation.store import Duplicate, Store, WakeRow
from bridge.simulation.terminal import Terminal
from bridge.simulation.threads import Shell

LOOK_AHEAD_S = 1.2
HELD_S, CONFIRMED_S = 1, 5
SETTLE_S = 1.0
SETTLE_TRIES = 3


@dataclass(slots=True)
class Trouble:
    """How likely each trouble is; all of it ends when the world calms down."""

    kill: float = 0.0
    freeze: float = 0.0
    lose_ring: float = 0.0
    double_ring: float = 0.0
    delay_ring: float = 0.0
    broker_up: bool = True
    host_up: bool = True


class Runtimes(Protocol):
    """Where a hand finds what it is to touch."""

    def terminal(self, session_id: str) -> Terminal | None:
        """The process that holds the session now."""
        ...

    def start(self, wake: Wake, begun: BeginAttempt) -> Steps[Handed]:
        """Start a process for the agent: resume, spawn."""
        ...


@dataclass(slots=True)
class Site:
    """What all hands share."""

    engine: Engine
    store: Store
    shell: Shell
    policy: Policy
    rng: Dice
    watch: Watch
    trouble: Trouble
    runtimes: Runtimes = field(init=False)
    frozen: dict[str, list[Park]] = field(default_factory=dict)


class Worker:
    """One process with many hands; dies with all of them."""

    def __init__(self, site: Site, name: str, *, has_runtime: bool) -> None:
        self.site, self.name, self.has_runtime = site, name, has_runtime
        self.alive = True
        self._hands: list[tuple[Hand, Process]] = []
        self._n = 0

    def take(self, wake_id: str) -> None:
        """Look at a wake."""
        if self.alive:
            self._n += 1
            hand = Hand(self.site, self, f"{self.name}.{self._n}", wake_id)
            self._hands = [it for it in self._hands if it[1].alive]
            self._hands.append((hand, self.site.engine.start(hand.look())))

    def die(self, back_s: float | None = None) -> None:
        """Killed where it stands, hands and all; it comes back after a while."""
        if not self.alive:
            return
        self.alive = False
        self.site.watch.note(f"{self.name} is killed")
        self.site.watch.counts["workers killed"] += 1
        for hand, process in self._hands:
            if hand.typing and process.alive:
                self.site.watch.faults[hand.wake_id] += 1
            process.kill()
        self._hands = []
        self.site.engine.after(back_s or self.site.rng.choice((0.5, 1.5, 4.0)), self.come_back)

    def come_back(self, _: object = None) -> None:
        """Started again."""
        self.alive = True


class Hand:
    """One look at one wake."""

    def __init__(self, site: Site, worker: Worker, name: str, wake_id: str) -> None:
        self._site, self._worker, self._name, self.wake_id = site, worker, name, wake_id
        self._since = site.engine.us
        self.typing = False

    def look(self) -> Steps[None]:
        """As far as it comes."""
        watch = self._site.watch
        try:
            advanced = yield from self._site.shell.advance(self.wake_id, self._name)
            if advanced.absorbed:
                watch.absorbed(advanced.wake)
            if advanced.probe is None:
                return
            yield from self._step("claimed")
            yield from self._deliver(advanced.wake, advanced.probe)
        except FenceRejected:
            watch.counts["refused by its fence"] += 1
            watch.note(f"{self._name} is refused by its fence ({self.wake_id})")
        except (Conflict, InvalidTransition, Duplicate):
            watch.counts["conflict"] += 1

    def _deliver(self, wake: Wake, probe: Probe) -> Steps[None]:
        shell, rung = self._site.shell, probe.rung
        refused = self._refused(wake, probe)
        yield from self._step("looked")
        if refused:
            reason, why = refused
            yield from shell.postpone(self.wake_id, probe.fence, reason, why, self._name)
            return
        begun = yield from shell.touch(self.wake_id, probe.fence, self._name)
        if begun is None:
            return
        self.typing = True
        self._thaw_others()
        yield from self._step("touching")
        handed = yield from self._hand_over(wake, begun, rung)
        self._site.watch.handed(handed.evidence)
        yield from self._step("before the outcome")
        yield from self._settle(begun, handed)

    def _refused(self, wake: Wake, probe: Probe) -> tuple[WaitReason, str] | None:
        if not self._worker.has_runtime:
            return WaitReason.HOST, "this worker stands on another host"
        if probe.rung is not Rung.LIVE:
            return None
        terminal = self._site.runtimes.terminal(probe.session_id)
        if terminal is None:
            return WaitReason.SEAT, "not connected"
        probed = terminal.probe(self._site.policy.defer_quiet_s, force=wake.forced)
        return None if probed.free else (probed.reason or WaitReason.BUSY, probed.why)

    def _hand_over(self, wake: Wake, begun: BeginAttempt, rung: Rung) -> Steps[Handed]:
        left_s = self._site.policy.lease_s - (self._site.engine.us - self._since) / SECOND - SETTLE_S
        if left_s < 1:
            return Handed(Evidence.NOT_TOUCHED, WaitReason.SLOT, "this worker was too slow")
        if rung is not Rung.LIVE:
            return (yield from self._site.runtimes.start(wake, begun))
        terminal = self._site.runtimes.terminal(begun.session_id)
        if terminal is None:
            return Handed(Evidence.GONE, WaitReason.SEAT, "not connected")
        line = Line(
            key=self.wake_id,
            text="",
            look_first=begun.look_first,
            may_type=begun.may_type,
            force=begun.force,
            quiet_s=self._site.policy.defer_quiet_s,
            deadline_s=min(left_s, 6.0),
        )
        return (yield from terminal.hand_over(line, self._step))

    def _settle(self, begun: BeginAttempt, handed: Handed) -> Steps[None]:
        for left in reversed(range(SETTLE_TRIES)):
            try:
                yield from self._site.shell.settle(
                    self.wake_id, begun, handed.evidence, handed.reason, handed.why, self._name
                )
            except Conflict:
                if not left:
                    raise
            else:
                break
        if handed.evidence is Evidence.UNVERIFIED and self._site.rng.chance(0.4):
            yield self._site.rng.random() * 2
            yield from self._site.shell.accept(self.wake_id, begun.attempt_id)

    def _step(self, stage: str) -> Steps[None]:
        """Between two steps: the worker may die here, or the hand may freeze."""
        site, chance = self._site, self._site.rng.random()
        trouble = site.trouble
        if chance < trouble.kill:
            self._fault(stage, "killed")
            site.engine.after(0, lambda _: self._worker.die())
            yield Park()
        elif chance < trouble.kill + trouble.freeze:
            self._fault(stage, "frozen")
            lease_s = site.policy.lease_s
            park = Park(site.rng.choice((0.5, lease_s * 0.8, lease_s + 0.5, lease_s * 2.5, lease_s * 6)))
            site.frozen.setdefault(self.wake_id, []).append(park)
            yield park
            site.watch.note(f"{self._name} thaws ({stage}, {self.wake_id})")
        else:
            yield site.rng.choice((0.001, 0.01, 0.05))

    def _fault(self, stage: str, what: str) -> None:
        self._site.watch.note(f"{self._name} is {what}: {stage} ({self.wake_id})")
        self._site.watch.counts[f"{what} {stage}"] += 1
        if self.typing and what == "frozen":  # those that are killed are counted with their worker
            self._site.watch.faults[self.wake_id] += 1

    def _thaw_others(self) -> None:
        """Whoever froze over this wake comes back now, just when it does most harm."""
        for park in self._site.frozen.pop(self.wake_id, []):
            if self._site.rng.chance(0.7):
                self._site.engine.after(self._site.rng.random() * 0.4, park.wake)


class Doorbell:
    """The broker between whoever rings and the workers: loses, doubles, delays."""

    def __init__(self, site: Site, workers: list[Worker]) -> None:
        self._site, self._workers = site, workers

    def ring(self, wake_ids: list[str]) -> None:
        """After a commit: sent and confirmed; or not sent, and the row says so; or nobody is left to."""
        for wake_id in wake_ids:
            if self._site.rng.chance(self._site.trouble.lose_ring / 2):
                self._site.watch.lost_rings[wake_id] += 1
                self._site.watch.counts["rings never sent"] += 1
            else:
                self.publish(wake_id)

    def publish(self, wake_id: str) -> None:
        """One ring."""
        trouble, rng = self._site.trouble, self._site.rng
        sent = trouble.broker_up
        self._mark(wake_id, sent=sent)
        if not sent:
            return
        if rng.chance(trouble.lose_ring):
            self._site.watch.lost_rings[wake_id] += 1
            self._site.watch.counts["rings lost"] += 1
            return
        late_s = rng.choice((1.0, 3.0)) if rng.chance(trouble.delay_ring) else rng.choice((0.002, 0.03))
        if rng.chance(trouble.delay_ring):
            self._site.watch.lost_rings[wake_id] += 1
        self._site.engine.after(late_s, self.deliver, wake_id)
        if rng.chance(trouble.double_ring):
            self._site.watch.counts["rings doubled"] += 1
            self._site.engine.after(rng.choice((0.0, 0.05, 2.0)), self.deliver, wake_id)

    def deliver(self, wake_id: str) -> None:
        """To one of the workers; one that is down takes the ring with it."""
        here = [worker for worker in self._workers if worker.has_runtime is self._site.trouble.host_up]
        worker = self._site.rng.choice(here)
        if not worker.alive:
            self._site.watch.lost_rings[wake_id] += 1
        worker.take(wake_id)

    def _mark(self, wake_id: str, *, sent: bool) -> None:
        """`rung_until`, as publisher and keeper set it: only of what is due, and not of what a hand holds."""
        store = self._site.store
        row: WakeRow = store.get("wake", wake_id)
        held = store.is_locked("wake", row.wake.thread_id, row.wake.agent_id)
        if row.wake.state in WAKE_FINAL or held or row.wake.due_at > self._site.engine.now:
            return
        until = max(us_of(row.wake.due_at), self._site.engine.us) + CONFIRMED_S * SECOND
        store.rows["rung", wake_id] = until if sent else None


class Keeper:
    """Takes rows ahead of their time and rings each at it."""

    def __init__(self, site: Site, bell: Doorbell) -> None:
        self._site, self._bell = site, bell
        self.alive = True

    def keep(self) -> Steps[None]:
        """Once a second."""
        site = self._site
        while True:
            yield 1.0
            if not (self.alive and site.trouble.broker_up):
                continue
            horizon = site.engine.us + int(LOOK_AHEAD_S * SECOND)
            for wake_id, due in not_rung(site.store, horizon):
                site.store.rows["rung", wake_id] = max(due, site.engine.us) + HELD_S * SECOND
                site.engine.after(max(0, due - site.engine.us) / SECOND, self._ring, wake_id)

    def sleep(self, seconds: float) -> None:
        """Dead for so long."""
        self.alive = False
        self._site.engine.after(seconds, self._rise)

    def _rise(self, _: object) -> None:
        self.alive = True

    def _ring(self, wake_id: str) -> None:
        if self.alive:
            self._bell.publish(wake_id)


def standby(site: Site, worker: Worker) -> Steps[None]:
    """Carry out what is due for more than a second and was rung by nobody."""
    while True:
        yield 0.5
        if not worker.alive or worker.has_runtime is not site.trouble.host_up:
            continue
        for wake_id, _ in not_rung(site.store, site.engine.us - SECOND):
            site.store.rows["rung", wake_id] = site.engine.us + CONFIRMED_S * SECOND
            site.watch.counts["carried out by the standby"] += 1
            worker.take(wake_id)


def not_rung(store: Store, before_us: int) -> list[tuple[str, int]]:
    """Open wakes due by then that no valid ring was sent for; locked rows are skipped, as in a batch."""
    found: list[tuple[str, int]] = []
    rows, now = store.rows, store.engine.us
    for pair, wake_id in store.open_wakes():
        due = us_of(rows["wake", wake_id].wake.due_at)
        rung = rows.get(("rung", wake_id))
        if due <= before_us and (rung is None or rung < now) and not store.is_locked("wake", *pair):
            found.append((wake_id, due))
    return found
