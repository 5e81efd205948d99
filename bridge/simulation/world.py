"""One history: a world built from a seed, troubled for a while, then left in peace until everything has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.core.agent import Agent
from bridge.core.policy import Policy, RungLimits, validate
from bridge.core.states import Rung, ThreadStatus, ThreadType, WakeState
from bridge.core.thread import Thread
from bridge.simulation.checks import Broken, Watch
from bridge.simulation.engine import EPOCH, SECOND, Dice, Engine, Steps
from bridge.simulation.hands import Doorbell, Keeper, Site, Trouble, Worker, standby
from bridge.simulation.people import Fleet, Mind
from bridge.simulation.store import Store, ThreadRow
from bridge.simulation.terminal import Habits
from bridge.simulation.threads import Shell

CALM_S = 15.0
STARTS = frozenset({Rung.RESUME, Rung.SPAWN})
CHAOS = {
    "kill": 0.15,
    "broker": 0.1,
    "host": 0.1,
    "keeper": 0.15,
    "crash": 0.15,
    "unlink": 0.2,
    "takeover": 0.15,
}


@dataclass(frozen=True)
class History:
    """What came of one seed. `broken`: the rule that did not hold, and what was seen."""

    seed: int
    counts: Counter[str]
    cells: Counter[tuple[WakeState, type[Any]]]
    virtual_s: float
    steps: int
    broken: Broken | None = None
    trace: list[str] = field(default_factory=list)


def play(seed: int, shell: Callable[..., Shell] = Shell, *, trace: bool = False) -> History:
    """Play one history to its end, or to the first rule that is broken."""
    world = World(seed, shell)
    if trace:
        world.watch.trace = []
    broken = None
    try:
        world.run()
    except Broken as error:
        broken = error
    except Exception as error:  # noqa: BLE001  whatever the core or the simulator stumbles over, the seed is named
        broken = Broken("nothing stumbles", repr(error))
    watch, engine = world.watch, world.engine
    return History(
        seed, watch.counts, watch.cells, engine.us / SECOND, engine.steps_done, broken, watch.trace or []
    )


def some_policy(rng: Dice) -> Policy:
    """A whole policy with short times; a valid one."""
    life_s = rng.choice((26.0, 35.0, 50.0))
    policy = Policy(
        live=RungLimits(rng.choice((1, 2, 3)), rng.choice((1.0, 2.0)), rng.choice((2.0, 4.0))),
        resume=RungLimits(rng.choice((0, 1, 2)), 2.0, 3.0),
        spawn=RungLimits(rng.choice((0, 1)), 2.0, 3.0),
        backoff_s_initial=1.0,
        backoff_s_max=3.0,
        read_extension_s_max=rng.choice((4.0, 8.0)),
        defer_quiet_s=rng.choice((1.0, 2.0)),
        defer_recheck_s=1.0,
        defer_s_max=rng.choice((3.0, 8.0)),
        recheck_s=rng.choice((1.0, 2.0)),
        seat_wait_s=rng.choice((3.0, 6.0)),
        lease_s=rng.choice((6.0, 8.0)),
        wake_life_s_max=life_s,
        listen_grace_s=1.0,
        wakes_per_minute_max=rng.choice((3, 10, 30)),
        breaker_s_initial=rng.choice((1.0, 3.0)),
        breaker_s_max=rng.choice((6.0, life_s)),
        turns_max=rng.choice((3, 8, 50)),
        findings_max=rng.choice((2, 5)),
        slow_s=2.0,
        stall_after_s=rng.choice((3.0, 8.0)),
    )
    validate(policy)
    return policy


def some_habits(rng: Dice) -> Habits:
    """A program that behaves, or one of those that do not."""
    good = Habits(remembers=rng.chance(0.5), think_s=rng.choice((0.3, 1.0)))
    kinds = [
        good,
        good,
        replace(good, swallows=0.5),
        replace(good, hangs=0.5),
        replace(good, blind=0.6),
        replace(good, ignores=0.5),
        replace(good, crashes=0.3),
        replace(good, think_s=4.0),
        replace(good, swallows=0.1, hangs=0.1, blind=0.2, ignores=0.1, crashes=0.1),
    ]
    return rng.choice(kinds)


class World:
    """Everything of one history."""

    def __init__(self, seed: int, shell: Callable[..., Shell]) -> None:
        self.rng = rng = Dice(seed)
        self.engine, self.policy = Engine(), some_policy(rng)
        self.store = Store(self.engine)
        self.shell = shell(self.engine, self.store, self.policy, rng, self._ring)
        self.active_s = rng.choice((12.0, 20.0, 30.0))
        self._people()
        self.watch = Watch(self.engine, self.store, self.policy, self.shell.members)
        troubled = rng.chance(0.85)
        self.trouble = Trouble(
            kill=rng.choice((0.01, 0.05)) if troubled else 0.0,
            freeze=rng.choice((0.02, 0.1)) if troubled else 0.0,
            lose_ring=rng.choice((0.0, 0.1)) if troubled else 0.0,
            double_ring=rng.choice((0.05, 0.3)),
            delay_ring=rng.choice((0.0, 0.1)),
        )
        self.troubled = troubled
        minds = {name: self._mind(name) for name in self.shell.threads_of}
        self.site = Site(
            self.engine,
            self.store,
            self.shell,
            self.policy,
            rng,
            self.watch,
            self.trouble,
        )
        self.fleet = Fleet(self.site, minds)
        self.site.runtimes = self.fleet
        self.workers = [
            Worker(self.site, name, has_runtime=name != "timers") for name in ("a", "b", "timers")
        ]
        self.bell = Doorbell(self.site, self.workers)
        self.keepers = [Keeper(self.site, self.bell) for _ in range(2)]

    def _ring(self, wake_ids: list[str]) -> None:
        self.bell.ring(wake_ids)

    def _people(self) -> None:
        rng, shell, rows = self.rng, self.shell, self.store.rows
        names = ["ann", "bob", "cyd", "dan"][: rng.choice((2, 3, 3, 4))]
        threads = ["t1", "t2", "t3"][: rng.choice((1, 2, 2, 3))]
        shell.members = {
            thread_id: sorted(rng.sample(names, rng.randint(2, len(names)))) for thread_id in threads
        }
        busy = [name for name in names if any(name in members for members in shell.members.values())]
        shell.threads_of = {
            name: [thread_id for thread_id in threads if name in shell.members[thread_id]] for name in busy
        }
        shell.starts = {name: STARTS if rng.chance(0.35) else frozenset() for name in busy}
        human = rng.choice(busy) if rng.chance(0.2) else None
        rows["pause",], rows["host",] = None, EPOCH
        for name in busy:
            rows["agent", name] = Agent("ws", name, is_human=name == human)
        for thread_id, members in shell.members.items():
            kind = rng.choice((ThreadType.WORKFLOW, ThreadType.CONVERSATION))
            thread = Thread(thread_id, "ws", kind, ThreadStatus.ACTIVE, 0, len(members), 0, None, EPOCH)
            rows["thread", thread_id] = ThreadRow(thread, EPOCH)
            for name in members:
                rows["cursor", thread_id, name] = 0
                self.store.pairs.append((thread_id, name))

    def _mind(self, name: str) -> Mind:
        rng = self.rng
        return Mind(
            name,
            some_habits(rng),
            answers=rng.choice((0.2, 0.7)),
            reads_all=rng.choice((0.7, 1.0)),
            comes_back=rng.choice((0.3, 0.9)),
        )

    # --- the course of a history --------------------------------------------------------------------------------

    def run(self) -> None:
        """Trouble, then peace until all that was open has ended."""
        engine, fleet, rng = self.engine, self.fleet, self.rng
        for worker in self.workers:
            engine.start(standby(self.site, worker))
        for keeper in self.keepers:
            engine.start(keeper.keep())
        engine.start(self._host_term())
        engine.start(self._tick())
        for name, mind in fleet.minds.items():
            if rng.chance(0.85):
                fleet.begin(fleet.come(name, rng.choice((0.0, 0.0, 3.0, 9.0))))
            fleet.begin(fleet.chatter(mind, rng.choice((3.0, 6.0, 12.0))))
        fleet.begin(fleet.humans(rng.choice((2.0, 6.0, 30.0))))
        fleet.begin(fleet.operate(rng.choice((3.0, 8.0, 40.0))))
        fleet.begin(fleet.ring_early(self.bell.deliver))
        if self.troubled:
            engine.start(self._chaos(rng.choice((2.0, 5.0, 12.0))))
        engine.run(self.active_s)
        self._calm_down()
        end_s = self.active_s + CALM_S + self.policy.wake_life_s_max
        while engine.us < end_s * SECOND and self.store.any_open():
            engine.run(engine.us / SECOND + 1.0)
        self.watch.finish()

    def _calm_down(self) -> None:
        self.fleet.talking = False
        self.watch.note("peace")
        trouble = self.trouble
        trouble.kill = trouble.freeze = trouble.lose_ring = trouble.delay_ring = 0.0
        trouble.broker_up = trouble.host_up = True
        for worker in self.workers:
            worker.come_back()
        for keeper in self.keepers:
            keeper.alive = True
        self.store.rows["pause",] = None

    def _host_term(self) -> Steps[None]:
        """The host shows that it is there, while one of its workers is."""
        while True:
            if self.trouble.host_up and any(worker.alive for worker in self.workers[:2]):
                self.store.rows["host",] = self.engine.now
            yield 1.0

    def _tick(self) -> Steps[None]:
        """The stall tick, by two beats at odds."""
        while True:
            yield self.rng.choice((0.7, 1.3))
            self.fleet.begin(self.shell.find_stalls())

    def _chaos(self, every_s: float) -> Steps[None]:
        rng, fleet = self.rng, self.fleet
        while True:
            yield rng.expovariate(1 / every_s)
            if not fleet.talking:
                return
            living = [it for it in fleet.terminals.values() if it.alive]
            what = rng.one_of(CHAOS)
            if what == "kill":
                rng.choice(self.workers).die()
            elif what == "broker":
                yield from self._outage("broker_up", rng.choice((2.0, 6.0)))
            elif what == "host":
                yield from self._outage("host_up", rng.choice((2.0, 7.0)))
            elif what == "keeper":
                rng.choice(self.keepers).sleep(rng.choice((2.0, 8.0)))
            elif living and what == "crash":
                rng.choice(living).crash()
            elif living and what == "unlink":
                fleet.begin(fleet.unlink(rng.choice(living), rng.choice((0.2, 2.0, None))))
            elif living:
                fleet.begin(fleet.open_session(rng.choice(living).agent_id))

    def _outage(self, what: str, seconds: float) -> Steps[None]:
        self.watch.note(f"{what}: no longer, for {seconds:g} s")
        begin = self.engine.us / SECOND
        setattr(self.trouble, what, False)
        if what == "host_up":
            for terminal in list(self.fleet.terminals.values()):
                if terminal.linked and terminal.habits.remembers:
                    self.fleet.begin(self.fleet.unlink(terminal, 0.2))
        yield seconds
        setattr(self.trouble, what, True)
        self.watch.down.append((begin, self.engine.us / SECOND))
