"""Those who live with the bridge: agents that read and post, sessions that come and go, humans, an operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from bridge.core.effects import BeginAttempt
from bridge.core.errors import BridgeError
from bridge.core.states import Evidence, SessionStatus, ThreadStatus, WaitReason
from bridge.core.wake_events import Wake
from bridge.ports.runtime import Handed
from bridge.simulation.engine import Dice, Steps
from bridge.simulation.hands import Site
from bridge.simulation.terminal import Habits, Terminal

EVENTS = ("finding_reported", "fix_pushed", "finding_verified", "decision")
STATUSES = (ThreadStatus.BLOCKED, ThreadStatus.ACTIVE, ThreadStatus.RESOLVED, ThreadStatus.ACTIVE)


@dataclass(slots=True)
class Mind:
    """How an agent goes about its work."""

    agent_id: str
    habits: Habits
    answers: float = 0.6
    reads_all: float = 0.85
    comes_back: float = 0.7
    polls: float = 0.1


@dataclass
class Fleet:
    """The agents and their sessions."""

    site: Site
    minds: dict[str, Mind]
    terminals: dict[str, Terminal] = field(default_factory=dict)
    talking: bool = True
    _n: int = 0

    @property
    def rng(self) -> Dice:
        """The world's."""
        return self.site.rng

    def begin(self, steps: Steps[object]) -> None:
        """Start something whose refusal is somebody's own affair."""
        self.site.engine.start(_calmly(steps))

    # --- sessions --------------------------------------------------------------------------------------------

    def terminal(self, session_id: str) -> Terminal | None:
        """The process that holds the session now."""
        return self.terminals.get(session_id)

    def of(self, agent_id: str) -> list[Terminal]:
        """The agent's living terminals."""
        return [it for it in self.terminals.values() if it.agent_id == agent_id and it.alive]

    def open_session(self, agent_id: str, session_id: str | None = None) -> Steps[Terminal]:
        """A new process; it registers and takes the seat."""
        self._n += 1
        session_id = session_id or f"{agent_id}/{self._n}"
        site = self.site
        terminal = Terminal(
            site.engine, site.rng, site.watch, agent_id, session_id, self.minds[agent_id].habits
        )
        terminal.on_submit, terminal.on_crash = self._submitted, self._crashed
        self.terminals[session_id] = terminal
        site.watch.counts["sessions"] += 1
        yield from self.link(terminal)
        return terminal

    def come(self, agent_id: str, after_s: float) -> Steps[None]:
        """The agent's first session."""
        yield after_s
        yield from self.open_session(agent_id)

    def link(self, terminal: Terminal) -> Steps[None]:
        """Dial the host worker until it is there, and register."""
        while not self.site.trouble.host_up:
            yield 0.5
        if not terminal.alive:
            return
        terminal.linked = True
        terminal.term = yield from self.site.shell.attach(terminal.agent_id, terminal.session_id)
        self.site.watch.note(f"{terminal.session_id} is linked")

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

    def _gone(self, terminal: Terminal, term: int) -> Steps[None]:
        yield self.rng.choice((0.05, 0.3))
        while not self.site.trouble.host_up:
            yield 0.5
        yield from self.site.shell.detach(terminal.agent_id, terminal.session_id, term)

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

    def start(self, wake: Wake, begun: BeginAttempt) -> Steps[Handed]:
        """Start a process for the agent: it has the line as its prompt, reads, and ends."""
        yield self.rng.choice((0.3, 1.0))
        fate = self.rng.one_of({"runs": 0.5, "gone": 0.15, "no slot": 0.1, "silent": 0.15, "ends": 0.1})
        if fate == "gone":
            return Handed(Evidence.GONE, WaitReason.SEAT, "it did not start")
        if fate == "no slot":
            return Handed(Evidence.NOT_TOUCHED, WaitReason.SLOT, "no slot")
        if fate == "silent":
            return Handed(Evidence.UNVERIFIED, why="it did not say who it is")
        terminal = yield from self.open_session(wake.agent_id, begun.session_id)
        if fate == "ends":
            terminal.crash()
            return Handed(Evidence.UNVERIFIED, why="it ended at once")
        self._submitted(terminal, wake.wake_id)
        return Handed(Evidence.ACCEPTED)

    # --- agents at work --------------------------------------------------------------------------------------

    def _submitted(self, terminal: Terminal, key: str) -> None:
        self.site.watch.note(f"{terminal.session_id} takes {key}")
        self.begin(self._work(terminal))

    def _work(self, terminal: Terminal) -> Steps[None]:
        mind, shell = self.minds[terminal.agent_id], self.site.shell
        terminal.busy = True
        if self.rng.chance(0.5):
            yield from shell.heartbeat(terminal.agent_id, terminal.session_id, SessionStatus.ACTIVE)
        yield mind.habits.think_s * self.rng.choice((0.3, 1.0, 2.0))
        if terminal.alive:
            yield from self.read(mind)
        if terminal.alive and self.talking and self.rng.chance(mind.answers):
            yield from self.post(mind.agent_id, answer=True)
        terminal.busy = False
        if terminal.alive:
            yield from shell.heartbeat(terminal.agent_id, terminal.session_id, SessionStatus.IDLE)

    def read(self, mind: Mind) -> Steps[None]:
        """Read the inbox; not always all of it."""
        shell, store = self.site.shell, self.site.store
        for thread_id in shell.threads_of[mind.agent_id]:
            last_seq = store.get("thread", thread_id).thread.last_seq
            cursor = store.get("cursor", thread_id, mind.agent_id)
            if cursor < last_seq and self.rng.chance(mind.reads_all):
                seq = last_seq if self.rng.chance(0.9) else cursor + 1
                yield 0.01
                yield from _calmly(shell.move_cursor(thread_id, mind.agent_id, seq))

    def post(self, agent_id: str, *, answer: bool = False) -> Steps[None]:
        """Say something."""
        shell, store, rng = self.site.shell, self.site.store, self.rng
        thread_id = rng.choice(shell.threads_of[agent_id])
        others = [name for name in shell.members[thread_id] if name != agent_id]
        read_to = store.get("thread", thread_id).thread.last_seq if answer and rng.chance(0.4) else None
        yield from _calmly(
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
                yield from _calmly(self.read(mind))
            elif what == "listen":
                yield from self._listen(mind.agent_id)
            elif what == "beat":
                for terminal in self.of(mind.agent_id)[:1]:
                    status = SessionStatus.ACTIVE if terminal.busy else SessionStatus.IDLE
                    yield from _calmly(self.site.shell.heartbeat(mind.agent_id, terminal.session_id, status))
            else:
                yield from self.post(mind.agent_id)

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

    # --- humans and the operator -------------------------------------------------------------------------------

    def humans(self, every_s: float) -> Steps[None]:
        """Somebody types somewhere, leaves a draft, opens a dialog, and clears it up again."""
        while True:
            yield self.rng.expovariate(1 / every_s)
            if not self.talking:
                return
            living = [it for it in self.terminals.values() if it.alive]
            if not living:
                continue
            terminal = self.rng.choice(living)
            what = self.rng.one_of({"type": 0.5, "dialog": 0.3, "clear": 0.2})
            if what == "type":
                terminal.human_types(leaves_draft=self.rng.chance(0.5))
            elif what == "dialog":
                terminal.dialog = True
                self.site.engine.after(self.rng.choice((1.0, 6.0)), _close_dialog, terminal)
            self.site.engine.after(self.rng.choice((0.5, 3.0, 8.0)), _clear, terminal)

    def operate(self, every_s: float) -> Steps[None]:
        """Block and unblock, cancel, force, trigger, pause."""
        shell, store, rng = self.site.shell, self.site.store, self.rng
        while True:
            yield rng.expovariate(1 / every_s)
            if not self.talking:
                return
            thread_id = rng.choice(sorted(shell.members))
            wakes = [wake_id for _, wake_id in store.open_wakes()]
            what = rng.one_of({"status": 0.45, "cancel": 0.15, "force": 0.15, "trigger": 0.15, "pause": 0.1})
            if what == "status":
                yield from self._ask_status(thread_id)
            elif what == "trigger":
                yield from _calmly(shell.trigger(thread_id, rng.choice(shell.members[thread_id])))
            elif what == "pause":
                store.rows["pause",] = "lunch"
                yield rng.choice((1.0, 5.0))
                store.rows["pause",] = None
            elif wakes:
                command = shell.cancel if what == "cancel" else shell.force
                yield from _calmly(command(rng.choice(wakes)))

    def _ask_status(self, thread_id: str) -> Steps[None]:
        status = ThreadStatus.CLOSED if self.rng.chance(0.06) else self.rng.choice(STATUSES)
        yield from _calmly(self.site.shell.set_status(thread_id, status))
        if status is ThreadStatus.BLOCKED:
            self.begin(self._unblock(thread_id, self.rng.choice((0.3, 1.0, 6.0))))

    def _unblock(self, thread_id: str, after_s: float) -> Steps[None]:
        yield after_s
        yield from self.site.shell.set_status(thread_id, ThreadStatus.ACTIVE)

    def ring_early(self, deliver: Callable[[str], None]) -> Steps[None]:
        """Rings that nobody asked for, before their time."""
        while True:
            yield self.rng.expovariate(1 / 4)
            if not self.talking:
                return
            wakes = self.site.store.open_wakes()
            if wakes:
                deliver(self.rng.choice(wakes)[1])


def _calmly(steps: Steps[object]) -> Steps[None]:
    try:
        yield from steps
    except BridgeError:
        return


def _close_dialog(terminal: Terminal) -> None:
    terminal.dialog = False


def _clear(terminal: Terminal) -> None:
    if terminal.alive:
        terminal.human_clears()
