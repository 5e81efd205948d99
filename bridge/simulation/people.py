"""Agents and their sessions: terminals that come and go, what an agent does when it is told, what it says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

from bridge.core.errors import BridgeError
from bridge.core.states import SessionStatus
from bridge.simulation.engine import Dice, Steps
from bridge.simulation.hosts import Worker
from bridge.simulation.processes import Shim
from bridge.simulation.programs import run_program
from bridge.simulation.site import Site, calmly
from bridge.simulation.terminal import Habits, Terminal

EVENTS = ("finding_reported", "fix_pushed", "finding_verified", "decision")


@dataclass(slots=True)
class Mind:
    """How an agent goes about its work."""

    agent_id: str
    habits: Habits
    dead: bool = False  # whatever is started for it ends unread, and it never says a word
    answers: float = 0.6
    reads_all: float = 0.85
    comes_back: float = 0.7
    polls: float = 0.1


@dataclass
class Fleet:
    """The agents and their sessions."""

    site: Site
    minds: dict[str, Mind]
    workers: dict[str, Worker] = field(default_factory=dict)
    terminals: dict[str, Terminal] = field(default_factory=dict)
    scripts: dict[str, bool] = field(default_factory=dict)  # sessions of living programs without a terminal
    talking: bool = True
    _n: int = 0

    @property
    def rng(self) -> Dice:
        """The world's."""
        return self.site.rng

    def begin(self, steps: Steps[object]) -> None:
        """Start something whose refusal is somebody's own affair."""
        self.site.engine.start(calmly(steps))

    # --- sessions --------------------------------------------------------------------------------------------

    def terminal(self, session_id: str) -> Terminal | None:
        """The process that holds the session now."""
        return self.terminals.get(session_id)

    def of(self, agent_id: str) -> list[Terminal]:
        """The agent's living terminals."""
        return [it for it in self.terminals.values() if it.agent_id == agent_id and it.alive]

    def all_terminals(self) -> dict[str, Terminal]:
        """By session; also those that ended."""
        return self.terminals

    def program(self, shim: Shim) -> Steps[None]:
        """What the process of a run does."""
        return run_program(self, shim)

    def open_session(
        self, agent_id: str, session_id: str | None = None, host: str | None = None
    ) -> Steps[Terminal]:
        """A new process; it registers and takes the seat."""
        self._n += 1
        session_id = session_id or f"{agent_id}/{self._n}"
        site = self.site
        host = host or site.shell.seat_of(agent_id).host
        terminal = Terminal(
            site.engine, site.rng, site.watch, agent_id, session_id, self.minds[agent_id].habits, host
        )
        terminal.on_submit, terminal.on_crash = self._submitted, self._crashed
        self.terminals[session_id] = terminal
        site.watch.counts["sessions"] += 1
        yield from self.link(terminal)
        return terminal

    def visit(
        self, agent_id: str, session_id: str | None, host: str | None, stays_s: float | None
    ) -> Steps[None]:
        """Somebody opens a terminal, perhaps for a moment."""
        terminal = yield from self.open_session(agent_id, session_id, host)
        if stays_s is not None:
            yield stays_s
            terminal.crash()
            writers = [name for name in self.minds if name != agent_id and not self.minds[name].dead]
            if self.talking and writers:  # whoever was seen there just now is written to
                yield 0.5
                yield from self.post(self.rng.choice(writers))

    def come(self, agent_id: str, after_s: float) -> Steps[None]:
        """The agent's first session."""
        yield after_s
        yield from self.open_session(agent_id)

    def link(self, terminal: Terminal) -> Steps[None]:
        """Dial the host's worker until it is there, and register."""
        worker = self.workers[terminal.host]
        while terminal.alive:
            if worker.alive and not worker.frozen:
                terminal.linked = True
                try:
                    terminal.term = yield from self.site.shell.attach(
                        terminal.agent_id, terminal.session_id, terminal.host
                    )
                except BridgeError:
                    terminal.linked = False
                else:
                    terminal.linked_us = self.site.engine.us
                    self.site.watch.note(f"{terminal.session_id} is linked")
                    return
            yield 0.5

    def unlink(self, terminal: Terminal, back_s: float | None) -> Steps[None]:
        """The link breaks; the host says so, and the wrapper dials again. A plain terminal has no link but its life."""
        if not terminal.habits.remembers:
            terminal.crash()
            return
        terminal.linked = False
        self.site.watch.note(f"{terminal.session_id} is cut off")
        yield from self._gone(terminal, terminal.term)
        if back_s is not None:
            yield back_s
            yield from self.link(terminal)

    def worker_died(self, host: str) -> None:
        """Its links end with it; whoever hung on them dials the next one. Nobody tells the bridge."""
        for terminal in list(self.terminals.values()):
            if terminal.host == host and terminal.linked and terminal.habits.remembers:
                terminal.linked = False
                self.begin(self._dial_again(terminal))

    def _dial_again(self, terminal: Terminal) -> Steps[None]:
        yield self.rng.choice((0.1, 0.4))
        yield from self.link(terminal)

    def _gone(self, terminal: Terminal, term: int) -> Steps[None]:
        """Its host tells, if its worker is there; else the next one finds out."""
        yield self.rng.choice((0.05, 0.3))
        worker = self.workers[terminal.host]
        if worker.alive and not worker.frozen:
            yield from calmly(
                self.site.shell.detach(terminal.agent_id, terminal.session_id, term, f"{worker.hand}.gone")
            )

    def _crashed(self, terminal: Terminal) -> None:
        self.site.watch.note(f"{terminal.session_id} ends")
        self.site.watch.counts["sessions ended"] += 1
        self.begin(self._after_crash(terminal))

    def _after_crash(self, terminal: Terminal) -> Steps[None]:
        yield from self._gone(terminal, terminal.term)
        if self.talking and self.rng.chance(self.minds[terminal.agent_id].comes_back):
            yield self.rng.choice((1.0, 4.0, 9.0))
            if not self.of(terminal.agent_id):
                again = terminal.session_id if self.rng.chance(0.3) else None
                yield from self.open_session(terminal.agent_id, again)

    # --- agents at work --------------------------------------------------------------------------------------

    def _submitted(self, terminal: Terminal, key: str) -> None:
        self.site.watch.note(f"{terminal.session_id} takes {key}")
        self.begin(self._work(terminal))

    def _work(self, terminal: Terminal) -> Steps[None]:
        mind, shell = self.minds[terminal.agent_id], self.site.shell
        agent_id, session_id = terminal.agent_id, terminal.session_id
        terminal.busy = True
        if self.rng.chance(0.5):
            yield from calmly(shell.heartbeat(agent_id, session_id, SessionStatus.ACTIVE))
        yield mind.habits.think_s * self.rng.choice((0.3, 1.0, 2.0))
        if terminal.alive:
            yield from self.read(mind)
        if terminal.alive and self.talking and self.rng.chance(mind.answers):
            yield from self.post(agent_id, answer=True)
        terminal.busy = False
        if terminal.alive:
            yield from calmly(shell.heartbeat(agent_id, session_id, SessionStatus.IDLE))

    def read(self, mind: Mind) -> Steps[None]:
        """Read the inbox; not always all of it."""
        shell, store = self.site.shell, self.site.store
        for thread_id in shell.threads_of[mind.agent_id]:
            last_seq = store.get("thread", thread_id).thread.last_seq
            cursor = store.get("cursor", thread_id, mind.agent_id)
            if cursor < last_seq and self.rng.chance(mind.reads_all):
                seq = last_seq if self.rng.chance(0.9) else cursor + 1
                yield 0.01
                yield from calmly(shell.move_cursor(thread_id, mind.agent_id, seq))

    def post(self, agent_id: str, *, answer: bool = False) -> Steps[None]:
        """Say something."""
        shell, store, rng = self.site.shell, self.site.store, self.rng
        thread_id = rng.choice(shell.threads_of[agent_id])
        others = [name for name in shell.members[thread_id] if name != agent_id]
        read_to = store.get("thread", thread_id).thread.last_seq if answer and rng.chance(0.4) else None
        yield from calmly(
            shell.post(
                thread_id,
                agent_id,
                event_type=rng.choice(EVENTS) if rng.chance(0.15) else None,
                to=(rng.choice(others),) if rng.chance(0.15) else (),
                read_to=read_to,
                urgent=rng.chance(0.1),
                delay_s=3.0 if rng.chance(0.04) else 0.0,
            )
        )

    def chatter(self, mind: Mind, every_s: float) -> Steps[None]:
        """Post, look, and show that one lives, now and then."""
        while True:
            yield self.rng.expovariate(1 / every_s)
            if not self.talking:
                return
            what = self.rng.one_of({"poll": mind.polls, "listen": 0.1, "beat": 0.1, "post": 0.8 - mind.polls})
            if what == "poll":
                yield from calmly(self.read(mind))
            elif what == "listen":
                yield from self._listen(mind.agent_id)
            elif what == "beat":
                for terminal in self.of(mind.agent_id)[:1]:
                    status = SessionStatus.ACTIVE if terminal.busy else SessionStatus.IDLE
                    yield from calmly(self.site.shell.heartbeat(mind.agent_id, terminal.session_id, status))
            else:
                yield from self.post(mind.agent_id)

    def script(self, mind: Mind, every_s: float, lives_s: float) -> Steps[None]:
        """A program of the agent's own, that the bridge can only hear: it beats, and looks now and then."""
        self._n += 1
        session_id = f"{mind.agent_id}/script{self._n}"
        self.scripts[session_id] = True
        ends_us = self.site.engine.us + lives_s * 1_000_000
        while self.site.engine.us < ends_us:
            status = self.rng.choice((SessionStatus.ACTIVE, SessionStatus.IDLE))
            yield from calmly(self.site.shell.heartbeat(mind.agent_id, session_id, status, "script"))
            if self.rng.chance(0.3):
                yield from self.read(mind)
            yield every_s
        self.scripts[session_id] = False
        self.site.watch.note(f"{session_id} ends")

    def script_lives(self, session_id: str) -> bool:
        """Whether a program without a terminal is there."""
        return self.scripts.get(session_id, False)

    def _listen(self, agent_id: str) -> Steps[None]:
        uow = self.site.store.begin(agent_id)
        try:
            until = self.site.engine.now + timedelta(seconds=10)
            yield from self.site.shell.change_agent(
                uow, agent_id, lambda agent: replace(agent, listening_until=until)
            )
            uow.commit()
        finally:
            uow.end()
