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
from bridge.simulation.bell import TIMERS, Doorbell, Keeper, standby
from bridge.simulation.checks import Watch
from bridge.simulation.crowd import Crowd
from bridge.simulation.engine import EPOCH, SECOND, Dice, Engine, Steps
from bridge.simulation.hosts import Worker
from bridge.simulation.people import Fleet, Mind
from bridge.simulation.run_checks import Broken
from bridge.simulation.run_rows import some_session
from bridge.simulation.site import Site, Trouble
from bridge.simulation.store import HostRow, Store, ThreadRow
from bridge.simulation.terminal import Habits
from bridge.simulation.threads import Shell

CALM_S = 15.0
BOTH = frozenset({Rung.RESUME, Rung.SPAWN})
STARTS = (frozenset[Rung](), BOTH, BOTH, frozenset({Rung.SPAWN}))
LAST_S = 20.0
CHAOS = {
    "kill": 0.13,
    "freeze": 0.06,
    "stutter": 0.04,
    "cut": 0.08,
    "database": 0.05,
    "broker": 0.08,
    "keeper": 0.08,
    "crash": 0.12,
    "unlink": 0.1,
    "takeover": 0.2,
    "shim": 0.08,
    "process": 0.08,
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


def some_policy(rng: Dice, hosts: tuple[str, ...]) -> Policy:
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
        breaker_s_initial=rng.choice((1.0, 3.0, 10.0)),
        breaker_s_max=rng.choice((10.0, life_s)),
        turns_max=rng.choice((3, 8, 50)),
        findings_max=rng.choice((2, 5)),
        slow_s=2.0,
        stall_after_s=rng.choice((3.0, 8.0)),
        stale_after_s=rng.choice((8.0, 43_200.0)),
        crash_loop_limit=rng.choice((1, 2, 3)),
        crash_loop_window_s=rng.choice((10.0, 60.0)),
        host_slots=rng.choice((1, 2, 4)),
        agent_slots=rng.choice((1, 1, 2)),
        kill_after_s=rng.choice((5.0, 12.0)),
        kill_grace_s=rng.choice((0.0, 1.0, 2.0)),
        spawn_beside_live=rng.chance(0.1),
        heartbeat_s_max=rng.choice((2.0, 5.0)),
        hosts=hosts,
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
        self.hosts = rng.choice((("h1",), ("h1", "h2")))
        self.engine = Engine()
        self.policy = some_policy(rng, self.hosts if rng.chance(0.5) else ())
        self.stormy = rng.chance(0.05)  # a dead agent, and everybody talks to it all the time
        if self.stormy:
            longest_s = self.policy.wake_life_s_max
            self.policy = replace(self.policy, breaker_s_initial=10.0, breaker_s_max=longest_s)
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
        self.dead = [name for name in self.shell.threads_of if name != self.human and rng.chance(0.12)]
        if self.stormy:
            self.active_s = 60.0
            self.dead = [next(name for name in self.shell.threads_of if name != self.human)]
        minds = {name: self._mind(name) for name in self.shell.threads_of}
        self.site = Site(self.engine, self.store, self.shell, self.policy, rng, self.watch, self.trouble)
        self.fleet = Fleet(self.site, minds)
        self.site.runtimes, self.watch.runs.site = self.fleet, self.site
        self.shell.on_hold = self.watch.holds.held
        self.fleet.workers = {name: Worker(self.site, name, on_host=True) for name in self.hosts}
        self.workers = {**self.fleet.workers, TIMERS: Worker(self.site, TIMERS, on_host=False)}
        self.crowd, self.site.meddle = Crowd(self.fleet), self._meddle
        self.bell = Doorbell(self.site, self.workers)
        self.keepers = [Keeper(self.site, self.bell) for _ in range(2)]

    def _ring(self, rings: list[tuple[str, str]]) -> None:
        self.bell.ring(rings)

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
        shell.starts = {(host, name): rng.choice(STARTS) for host in self.hosts for name in busy}
        self.human = human = rng.choice(busy) if rng.chance(0.2) else None
        rows["pause",] = None
        for host in self.hosts:
            rows["host", host] = HostRow(EPOCH, "")
        for name in busy:
            agent = Agent("ws", name, rng.choice(self.hosts), is_human=name == human)
            if rng.chance(0.3):
                asleep = f"{name}/0"
                rows["session", asleep] = replace(
                    some_session(asleep, name, resumable=rng.chance(0.8)), host=agent.host, heartbeat_at=EPOCH
                )
                agent = replace(agent, seat_session_id=asleep)
            rows["agent", name] = agent
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
            dead=name in self.dead,
            answers=rng.choice((0.2, 0.7)),
            reads_all=rng.choice((0.7, 1.0)),
            comes_back=rng.choice((0.3, 0.9)),
        )

    # --- the course of a history --------------------------------------------------------------------------------

    def run(self) -> None:
        """Trouble, then peace until all that was open has ended."""
        engine, fleet, rng = self.engine, self.fleet, self.rng
        for worker in self.workers.values():
            engine.start(standby(self.site, worker))
            engine.start(worker.keep())
        for keeper in self.keepers:
            engine.start(keeper.keep())
        engine.start(self._tick())
        for mind in fleet.minds.values():
            if not mind.dead:
                self._begin_life(mind)
        fleet.begin(self.crowd.humans(rng.choice((2.0, 6.0, 30.0))))
        fleet.begin(self.crowd.operate(rng.choice((3.0, 8.0, 40.0))))
        fleet.begin(self.crowd.ring_early(self.bell.deliver))
        if self.troubled:
            engine.start(self._chaos(rng.choice((2.0, 5.0, 12.0))))
        engine.run(self.active_s)
        self._calm_down()
        end_s = self.active_s + CALM_S + self.policy.wake_life_s_max + self.policy.kill_after_s + LAST_S
        while engine.us < end_s * SECOND and (self.store.any_open() or self.site.living):
            engine.run(engine.us / SECOND + 1.0)
        self.watch.finish()
        for name in self.dead:
            self.watch.runs.finish_dead(name, len(self.shell.threads_of[name]))

    def _begin_life(self, mind: Mind) -> None:
        fleet, rng = self.fleet, self.rng
        how = rng.one_of({"terminal": 0.6, "nothing": 0.25, "script": 0.15})
        if how == "terminal":
            fleet.begin(fleet.come(mind.agent_id, rng.choice((0.0, 0.0, 3.0, 9.0))))
        if how == "script" or rng.chance(0.1):
            every_s = self.policy.heartbeat_s_max * 0.45
            fleet.begin(fleet.script(mind, every_s, rng.choice((3.0, 12.0, 40.0))))
        fleet.begin(fleet.chatter(mind, 2.0 if self.stormy else rng.choice((3.0, 6.0, 12.0))))

    def _calm_down(self) -> None:
        self.fleet.talking = False
        self.watch.note("peace")
        trouble, store = self.trouble, self.store
        trouble.kill = trouble.freeze = trouble.lose_ring = trouble.delay_ring = 0.0
        trouble.broker_up = store.is_up = True
        store.cut_off.clear()
        for worker in self.workers.values():
            worker.calm_down()
        for keeper in self.keepers:
            keeper.alive = True
        for host in self.hosts:
            self.fleet.begin(self.shell.drain(host, draining=False))
        store.rows["pause",] = None
        self.watch.runs.calm_us = self.engine.us + int(CALM_S * SECOND / 3)

    def _tick(self) -> Steps[None]:
        """The stall tick, by two beats at odds."""
        while True:
            yield self.rng.choice((0.7, 1.3))
            self.fleet.begin(self.shell.find_stalls())
            self.fleet.begin(self.shell.reconcile())

    def _chaos(self, every_s: float) -> Steps[None]:
        rng = self.rng
        while True:
            yield rng.expovariate(1 / every_s)
            if not self.fleet.talking:
                return
            yield from self._trouble(rng.one_of(CHAOS))

    def _trouble(self, what: str) -> Steps[None]:
        rng = self.rng
        if what == "kill":
            rng.choice(list(self.workers.values())).die()
        elif what == "freeze":
            rng.choice(list(self.workers.values())).freeze(rng.choice((0.5, 3.5, 7.0, 12.0)))
        elif what == "stutter":
            self.fleet.begin(self._stutter(rng.choice(self.hosts)))
        elif what == "cut":
            self.fleet.begin(self._cut_off(rng.choice(self.hosts), rng.choice((2.0, 5.0, 7.0, 9.0))))
        elif what == "database":
            yield from self._restart(rng.choice((0.3, 1.0, 3.0)))
        elif what == "broker":
            yield from self._outage(rng.choice((2.0, 6.0)))
        elif what == "keeper":
            rng.choice(self.keepers).sleep(rng.choice((2.0, 8.0)))
        else:
            self._trouble_at(what)

    def _trouble_at(self, what: str) -> None:
        rng, fleet = self.rng, self.fleet
        living = [it for it in fleet.terminals.values() if it.alive]
        shims = list(self.site.living.values())
        if shims and what == "shim":
            rng.choice(shims).lose()
        elif shims and what == "process":
            rng.choice(shims).exits(-9)
        elif living and what == "crash":
            rng.choice(living).crash()
        elif living and what == "unlink":
            fleet.begin(fleet.unlink(rng.choice(living), rng.choice((0.2, 2.0, None))))
        elif what == "takeover":
            self._take_over()

    def _take_over(self) -> None:
        """Somebody opens a terminal, best of all of an agent that is being woken: its session, or a new one."""
        names = [name for name, mind in self.fleet.minds.items() if not mind.dead]
        woken = [shim.run for shim in self.site.living.values() if shim.run.agent_id in names]
        if woken and self.rng.chance(0.7):
            run = self.rng.choice(woken)
            self._visit(run.agent_id, run.session_id if self.rng.chance(0.4) else None)
        elif names:
            name = self.rng.choice(names)
            seat = self.shell.seat_of(name).seat_session_id
            same = seat if seat and not self.fleet.of(name) and self.rng.chance(0.5) else None
            if same is None or not self.fleet.script_lives(same):
                self._visit(name, same)

    def _visit(self, name: str, session_id: str | None) -> None:
        host = self.rng.choice(self.hosts) if self.rng.chance(0.3) else None
        stays_s = self.rng.choice((0.5, 2.0)) if self.rng.chance(0.5) else None
        self.fleet.begin(self.fleet.visit(name, session_id, host, stays_s))

    def _meddle(self, agent_id: str) -> None:
        """Somebody does something to the agent while a hand stands still over its wake."""
        what = self.rng.one_of({"open": 0.4, "bind": 0.35, "drain": 0.1, "hold": 0.15})
        if not self.fleet.talking:
            return
        if what == "bind":
            here = self.shell.seat_of(agent_id).host
            self.fleet.begin(self.shell.bind(agent_id, next((it for it in self.hosts if it != here), here)))
        elif what == "drain":
            self.fleet.begin(self.crowd.drain(self.shell.seat_of(agent_id).host))
        elif what == "hold":
            self.fleet.begin(self.crowd.hold(self.shell.seat_of(agent_id).seat_session_id))
        elif not self.fleet.minds[agent_id].dead:
            self._visit(agent_id, None)

    def _cut_off(self, host: str, seconds: float) -> Steps[None]:
        self.watch.note(f"{host} is cut off, for {seconds:g} s")
        self.watch.counts["hosts cut off"] += 1
        begin = self.engine.us / SECOND
        self.store.cut_off.add(host)
        yield seconds
        self.store.cut_off.discard(host)
        self.watch.note(f"{host} is back")
        self.fleet.begin(self._impatient(host))
        self.watch.down.append((begin, self.engine.us / SECOND))

    def _impatient(self, host: str) -> Steps[None]:
        """An operator has waited for the host, and forces what waits there as soon as it is seen again."""
        while self.shell.not_seen(host):
            yield 0.05
        for _, wake_id in self.store.open_wakes():
            if self.store.rows["wake", wake_id].host == host and self.rng.chance(0.5):
                self.fleet.begin(self.shell.force(wake_id))

    def _stutter(self, host: str) -> Steps[None]:
        """Its worker stands still in the middle of a renewal; then it is cut off."""
        self.fleet.workers[host].stutter_s = 2.4
        yield 2.8
        yield from self._cut_off(host, 6.0)

    def _restart(self, seconds: float) -> Steps[None]:
        self.watch.note(f"the database restarts, for {seconds:g} s")
        self.watch.counts["database restarts"] += 1
        begin = self.engine.us / SECOND
        self.store.stop()
        yield seconds
        self.store.is_up = True
        self.watch.down.append((begin, self.engine.us / SECOND))

    def _outage(self, seconds: float) -> Steps[None]:
        self.watch.note(f"the broker is down, for {seconds:g} s")
        begin = self.engine.us / SECOND
        self.trouble.broker_up = False
        yield seconds
        self.trouble.broker_up = True
        self.watch.down.append((begin, self.engine.us / SECOND))
