"""The checkers of runs, slots, seats and breakers: rows against what really lived, moment by moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bridge.core.agent import Agent
from bridge.core.effects import BeginAttempt, MarkUnreachable
from bridge.core.run import Run
from bridge.core.session import Session
from bridge.core.states import Rung, RunState, WakeState
from bridge.core.wake_events import Due
from bridge.core.wake_judgement import HELD_UP
from bridge.simulation.engine import SECOND, us_of
from bridge.simulation.facts import BY_ITSELF, READ, TERM_S
from bridge.simulation.store import Attempt, Change, HostRow, Key, Offer, Said, UnitOfWork, WakeRow

if TYPE_CHECKING:
    from bridge.simulation.checks import Watch
    from bridge.simulation.processes import Shim
    from bridge.simulation.site import Site

TERM_US = int(TERM_S * SECOND)
BESIDE_S = 4.5  # a terminal that came to its session
ASKED_S = 6.0  # from the wish that it ends to its end, its worker killed meanwhile
LATE_S = 1.0
JUDGED_S = 4.0
ALIVE_IN = frozenset({WakeState.TOUCHING, WakeState.WAITING})


class Broken(Exception):
    """A rule does not hold: `rule` in words, `detail` what was seen."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(rule, detail)
        self.rule, self.detail = rule, detail


class RunWatch:
    """What is known of runs, and what must hold of them."""

    def __init__(self, watch: Watch) -> None:
        self.watch, self.store, self.policy = watch, watch.store, watch.policy
        self.site: Site | None = None
        self.starts: Counter[str] = Counter()  # by agent: rows of runs
        self.forced: Counter[str] = Counter()
        self.calm_us: int | None = None
        self._attached: dict[str, int] = {}  # since when a terminal's session is, says the database
        self._beats: dict[str, int] = {}  # the last word of a program without a terminal
        self._crashes: dict[str, list[tuple[int, int]]] = {}  # when it ended, and when that was committed
        self._asked_us: dict[str, int] = {}
        self._died_us: dict[str, int] = {}
        self._probing_us: dict[str, int] = {}
        self._drains: dict[str, int] = {}

    @property
    def _now_us(self) -> int:
        return self.watch.engine.us

    # --- after every commit ----------------------------------------------------------------------------------

    def committed(self, uow: UnitOfWork, changes: Mapping[Key, Change]) -> None:
        """Everything about runs that a commit could have broken."""
        for said in uow.said:
            self._said(said, uow)
        for key, (old, new) in changes.items():
            match key[0]:
                case "session":
                    self._session(uow, old, new)
                case "run":
                    self._run(old, new)
                case "host":
                    self._host(key[1], old, new)
                case "agent":
                    self._agent(uow, old, new)
                case _:
                    continue
        for key, (old, new) in changes.items():
            if key[0] == "attempt" and old is not None and old.is_open and not new.is_open:
                self._closed(key[1])
            elif (
                key[0] == "run"
                and new.state is RunState.ENDED
                and (old is None or old.state is not new.state)
            ):
                self._ended(new)

    def _said(self, said: Said, uow: UnitOfWork) -> None:
        before, after = said.before, said.decision.state
        for effect in said.decision.effects:
            if isinstance(effect, BeginAttempt) and effect.rung is not Rung.LIVE:
                self._begun(said, effect, uow)
        if isinstance(said.event, Due) and before.state is WakeState.PENDING:
            if after.state is WakeState.DELIVERING:
                self._probe(said)
            elif after.state is WakeState.FAILED:
                self._held_up(said)

    def _begun(self, said: Said, effect: BeginAttempt, uow: UnitOfWork) -> None:
        """A process is about to be started: the last moment at which anything may be in the way."""
        wake, store = said.before, self.store
        agent: Agent = store.get("agent", wake.agent_id)
        row: WakeRow = store.get("wake", wake.wake_id)
        locked_us = uow.locks.get(("agent", wake.agent_id), self._now_us)
        seat = agent.seat_session_id
        beside = self.policy.spawn_beside_live and effect.rung is Rung.SPAWN
        if seat is not None and not beside:
            rule = "nothing is started beside a living terminal"
            self.watch.require(not self._terminal_in(seat), rule, f"{wake.wake_id}: {effect.rung}, {seat}")
            beat_us = self._beats.get(seat, -TERM_US * 100)
            fresh = us_of(said.now) - beat_us < self.policy.heartbeat_s_max * SECOND and beat_us <= locked_us
            rule = "nothing is started beside a session that said just now that it lives"
            self.watch.require(not fresh, rule, f"{wake.wake_id}: {effect.rung}, {seat}")
        if effect.rung is Rung.RESUME:
            since_us = us_of(said.now) - int(self.policy.crash_loop_window_s * SECOND)
            ends = self._crashes.get(effect.session_id, ())
            crashed = [us for us, known_us in ends if since_us < us and known_us < locked_us]
            rule = "what crashes in a loop is not resumed"
            looped = len(crashed) >= self.policy.crash_loop_limit
            self.watch.require(not looped, rule, f"{effect.session_id}: {len(crashed)} times")
        drains_us = self._drains.get(row.host)
        quick = drains_us is None or drains_us >= us_of(said.now)
        self.watch.require(quick, "a host that drains starts nothing", f"{wake.wake_id} on {row.host}")
        self.starts[wake.agent_id] += 1

    def _terminal_in(self, session_id: str) -> bool:
        site = self.site
        terminal = site.runtimes.terminal(session_id) if site else None
        return terminal is not None and terminal.alive and terminal.linked and session_id in self._attached

    def _probe(self, said: Said) -> None:
        """Behind an open breaker one wake tries, and the others wait for the next probe."""
        wake, facts = said.before, said.event.facts if isinstance(said.event, Due) else None
        if facts is None or facts.unreachable_until is None or wake.forced or wake.attempts:
            self.forced[wake.agent_id] += wake.forced
            return
        agent_id, now_us = wake.agent_id, us_of(said.now)
        rule = "one wake probes an unreachable agent, the others wait"
        free_us = self._probing_us.get(agent_id, 0)
        self.watch.require(now_us >= free_us, rule, f"{wake.wake_id} for {agent_id}")
        agent: Agent = self.store.get("agent", agent_id)
        wait_us = int(self.policy.breaker_s_initial * SECOND)
        self._probing_us[agent_id] = now_us + wait_us if agent.probe_at is not None else 0

    def _held_up(self, said: Said) -> None:
        wake = said.before
        if wake.attempts or wake.reason not in HELD_UP or said.now < wake.dies_at:
            return
        marked = any(isinstance(effect, MarkUnreachable) for effect in said.decision.effects)
        self.watch.require(not marked, "what was never tried says nothing about its agent", wake.wake_id)

    # --- rows ----------------------------------------------------------------------------------------------------

    def _session(self, uow: UnitOfWork, old: Session | None, new: Session) -> None:
        if not new.attached:
            if self._terminal_in(new.session_id):
                self._forgotten(new)
            self._attached.pop(new.session_id, None)
        elif old is None or old.term != new.term:
            self._attached[new.session_id] = self._now_us
        if uow.hand == "beat/script" and (old is None or new.heartbeat_at != old.heartbeat_at):
            self._beats[new.session_id] = self._now_us

    def _forgotten(self, session: Session) -> None:
        """Its host was not there for long: a plain terminal does not know what it was told, and may be told again."""
        for thread_id in self.watch.members:
            wake_id = self.store.get("open", thread_id, session.agent_id)
            if wake_id:
                self.watch.faults[wake_id] += 1

    def _host(self, name: str, old: HostRow, new: HostRow) -> None:
        if new.draining != old.draining:
            self._drains.pop(name, None)
            if new.draining:
                self._drains[name] = self._now_us
        if us_of(new.seen_at) - us_of(old.seen_at) > TERM_US:
            self._none_lives_on(name)

    def _none_lives_on(self, host: str) -> None:
        if self.site is not None:
            lives = [run_id for run_id, shim in self.site.living.items() if shim.run.host == host]
            self.watch.require(not lives, "no process outlives its host's term", f"{host}: {lives}")

    def _agent(self, uow: UnitOfWork, old: Agent, new: Agent) -> None:
        if new.probe_at is None:
            self._probing_us.pop(new.agent_id, None)
        seat = old.seat_session_id
        if seat is None or seat == new.seat_session_id or uow.hand.endswith("/attach"):
            return
        self.watch.counts["seats taken"] += 1
        rule = "a seat is not taken from whom lives in it"
        self.watch.require(not self._terminal_in(seat), rule, f"{new.seat_session_id} from {seat}")

    def _run(self, old: Run | None, new: Run) -> None:
        if old is None:
            self.watch.note(f"{new.run_id} begins: {new.rung} of {new.session_id} on {new.host}")
            self._only_spawn(new)
        elif old.state is not new.state or old.proved_at != new.proved_at:
            self.watch.note(
                f"{new.run_id} is {new.state}{', proved' if new.proved_at else ''}: {new.why or ''}"
            )
        if new.state is RunState.ENDING and (old is None or old.state is not RunState.ENDING):
            self._asked_us[new.run_id] = self._now_us
            self._not_in_time(new)

    def _only_spawn(self, new: Run) -> None:
        if new.rung is not Rung.SPAWN:
            return
        for run_id in self.store.runs_open:
            other: Run = self.store.get("run", run_id)
            same = other.agent_id == new.agent_id and run_id != new.run_id
            proving = same and other.rung is Rung.SPAWN and other.proved_at is None
            rule = "no second spawn of an agent until the first has shown who it is"
            self.watch.require(not proving, rule, f"{new.run_id} beside {run_id}")

    def _not_in_time(self, run: Run) -> None:
        """A run is asked to end: not while somebody still waits for it, nor once it was read."""
        if run.why is None or "operator" in run.why or "terminal" in run.why:
            return
        offers: dict[str, Offer] = self.store.get("offers", run.attempt_id)
        attempt: Attempt = self.store.get("attempt", run.attempt_id)
        reading = any(offer.result == "timeout" for offer in offers.values()) and run.proved_at is not None
        if reading and run.proved_at is not None:
            until_us = us_of(run.proved_at) + int(self.policy.limits(run.rung).read_timeout_s * SECOND)
            rule = "who has proved whose it is has its time to read"
            self.watch.require(self._now_us >= until_us, rule, f"{run.run_id}: {run.why}")
        rule = "a run that is waited for, or was read, is left alone"
        read = any(offer.result in READ for offer in offers.values())
        self.watch.require(not attempt.is_open and not read, rule, f"{run.run_id}: {run.why}")

    def _closed(self, attempt_id: str) -> None:
        """Nobody is in the attempt any more."""
        run_id = self.store.get("run of", attempt_id)
        if run_id is None:
            return
        run: Run = self.store.get("run", run_id)
        offers: dict[str, Offer] = self.store.get("offers", attempt_id)
        read = any(offer.result in READ for offer in offers.values())
        over = run.end_asked_at is not None or run.ended_at is not None
        self.watch.require(read or over, "a run that nobody waits for is asked to end", run_id)

    def _ended(self, run: Run) -> None:
        self._beats.pop(run.session_id, None)  # whoever beats in a session of ours speaks for its run
        lives = self.site is not None and run.run_id in self.site.living
        self.watch.require(not lives, "a run is called ended only when nothing of it lives", run.run_id)
        slot = self.store.get("slot", run.host, run.slot)
        self.watch.require(slot != run.run_id, "a run that has ended holds no slot", run.run_id)
        offers: dict[str, Offer] = self.store.get("offers", run.attempt_id)
        for wake_id in offers:
            wake = self.store.get("wake", wake_id).wake
            left = wake.attempt_id != run.attempt_id or wake.state not in ALIVE_IN
            self.watch.require(left, "a run's end is judged at once", f"{run.run_id}: {wake_id}")
        if run.result in BY_ITSELF and not any(offer.result in READ for offer in offers.values()):
            ended_us = us_of(run.ended_at) if run.ended_at else 0
            self._crashes.setdefault(run.session_id, []).append((ended_us, self._now_us))
        died_us = self._died_us.get(run.run_id)
        if died_us is not None and self.calm_us is not None and died_us > self.calm_us:
            quick = self._now_us - died_us < JUDGED_S * SECOND
            self.watch.require(quick, "the end of a process is known soon", run.run_id)
        self.watch.counts[f"run {run.result}"] += 1

    # --- what really lives -----------------------------------------------------------------------------------------

    def born(self, shim: Shim) -> None:
        """A process runs from now on."""
        site, run = shim.site, shim.run
        self.site = site
        others = [it.run for it in site.living.values() if it is not shim]
        same = [it.run_id for it in others if it.session_id == run.session_id]
        self.watch.require(not same, "one process a session", f"{run.run_id} beside {same}")
        here = 1 + sum(it.host == run.host for it in others)
        self.watch.require(here <= self.policy.host_slots, "no more runs on a host than slots", run.host)
        own = 1 + sum(it.agent_id == run.agent_id for it in others)
        self.watch.require(
            own <= self.policy.agent_slots, "no more runs of an agent than it may have", run.run_id
        )
        row: Run = self.store.get("run", run.run_id)
        self.watch.require(
            row.state is not RunState.ENDED, "nothing is started for a run that has ended", run.run_id
        )
        self.watch.require(
            row.host == shim.book.host, "a run is started on its host", f"{run.run_id}: {row.host}"
        )
        terminal = site.runtimes.terminal(run.session_id)
        if terminal is not None and terminal.alive and terminal.linked and terminal.host == run.host:
            long_s = (self._now_us - terminal.linked_us) / SECOND
            rule = "no process starts beside a terminal that its own host holds"
            self.watch.require(long_s <= LATE_S, rule, f"{run.run_id}: {long_s:.1f} s")
        self.watch.note(f"{run.run_id} lives")
        self.watch.counts["processes"] += 1

    def gone(self, shim: Shim) -> None:
        """Nothing of it lives any more."""
        run, now_us = shim.run, self._now_us
        self._died_us[run.run_id] = now_us
        self.watch.note(f"{run.run_id} is dead: {shim.ending or 'by itself'}")
        lived_s = (now_us - shim.born_us) / SECOND
        most_s = self.policy.kill_after_s + self.policy.kill_grace_s + LATE_S
        self.watch.require(
            lived_s <= most_s, "no process outlives its time", f"{run.run_id}: {lived_s:.1f} s"
        )
        host: HostRow = self.store.get("host", run.host)
        in_term = now_us <= us_of(host.seen_at) + TERM_US
        self.watch.require(in_term, "no process outlives its host's term", run.run_id)
        died_us = shim.book.died_us
        if died_us is not None:
            late_s = (now_us - max(died_us, shim.born_us)) / SECOND - shim.short_grace()
            self.watch.require(
                late_s <= LATE_S, "runs die with their worker", f"{run.run_id}: {late_s:.1f} s"
            )
        since_us = self._attached.get(run.session_id)
        if since_us is not None and self._terminal_in(run.session_id):
            beside_s = (now_us - max(since_us, shim.born_us)) / SECOND
            rule = "a run ends when a terminal comes to its session"
            self.watch.require(beside_s <= BESIDE_S, rule, f"{run.run_id}: {beside_s:.1f} s")
        asked_us = self._asked_us.get(run.run_id)
        if asked_us is not None:
            took_s = (now_us - max(asked_us, shim.born_us)) / SECOND
            self.watch.require(
                took_s <= ASKED_S, "what is asked to end ends", f"{run.run_id}: {took_s:.1f} s"
            )

    # --- when it is over ----------------------------------------------------------------------------------------

    def finish(self) -> None:
        """What must hold when everything is quiet."""
        before_us = self._now_us - int(
            (self.policy.kill_after_s + self.policy.kill_grace_s + ASKED_S) * SECOND
        )
        left = [it for it in self.store.runs_open if us_of(self.store.get("run", it).begun_at) < before_us]
        self.watch.require(not left, "every run ends", left)
        living = list(self.site.living) if self.site else []
        self.watch.require(set(living) <= set(self.store.runs_open), "nothing lives on", living)
        for key, run_id in self.store.rows.items():
            if key[0] == "slot":
                held = run_id is None or run_id in self.store.runs_open
                self.watch.require(held, "no slot is leaked", f"{key}: {run_id}")

    def finish_dead(self, agent_id: str, threads: int) -> None:
        """A dead agent costs a bounded number of starts: a ladder for each wake of the first failure and each probe."""
        policy, elapsed_s = self.policy, self._now_us / SECOND
        probes, open_s = 0, policy.breaker(1).total_seconds()
        while open_s <= elapsed_s:
            probes += 1
            open_s += policy.breaker(probes + 1).total_seconds()
        ladders = threads + probes + self.forced[agent_id]
        most = ladders * (policy.resume.tries + policy.spawn.tries)
        rule = "a dead agent costs a stated number of starts"
        self.watch.require(
            self.starts[agent_id] <= most, rule, f"{agent_id}: {self.starts[agent_id]} of {most}"
        )
        told = [
            key
            for key in self.store.rows
            if key[0] == "notice" and key[2] == "operators" and agent_id in key[1]
        ]
        self.watch.require(len(told) <= 1, "operators are told once of what is wrong with an agent", told)
        self.watch.counts["starts for dead agents"] += self.starts[agent_id]
