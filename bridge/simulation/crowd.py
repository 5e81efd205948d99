"""Humans at the keys, an operator, and rings that nobody asked for."""

from __future__ import annotations

from collections.abc import Callable

from bridge.core.states import ThreadStatus
from bridge.simulation.engine import Steps
from bridge.simulation.people import Fleet
from bridge.simulation.site import calmly
from bridge.simulation.terminal import Terminal

STATUSES = (ThreadStatus.BLOCKED, ThreadStatus.ACTIVE, ThreadStatus.RESOLVED, ThreadStatus.ACTIVE)
OPERATIONS = {
    "status": 0.35,
    "cancel": 0.15,
    "force": 0.1,
    "trigger": 0.12,
    "pause": 0.06,
    "hold": 0.12,
    "kill": 0.1,
    "drain": 0.06,
    "bind": 0.06,
}


class Crowd:
    """Those who are no agents."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.site, self.rng = fleet, fleet.site, fleet.rng

    def humans(self, every_s: float) -> Steps[None]:
        """Somebody types somewhere, leaves a draft, opens a dialog, and clears it up again."""
        while True:
            yield self.rng.expovariate(1 / every_s)
            if not self.fleet.talking:
                return
            living = [it for it in self.fleet.terminals.values() if it.alive]
            if not living:
                continue
            terminal = self.rng.choice(living)
            what = self.rng.one_of({"type": 0.5, "dialog": 0.3, "clear": 0.2})
            if what == "type":
                terminal.human_types(leaves_draft=self.rng.chance(0.5))
                if self.rng.chance(0.3):
                    self.fleet.begin(self.hold(terminal.session_id))
            elif what == "dialog":
                terminal.dialog = True
                self.site.engine.after(self.rng.choice((1.0, 6.0)), _close_dialog, terminal)
            self.site.engine.after(self.rng.choice((0.5, 3.0, 8.0)), _clear, terminal)

    def operate(self, every_s: float) -> Steps[None]:
        """Block and unblock, cancel, force, trigger, pause; kill runs, drain hosts, bind agents elsewhere."""
        while True:
            yield self.rng.expovariate(1 / every_s)
            if not self.fleet.talking:
                return
            yield from calmly(self._operate(self.rng.one_of(OPERATIONS)))

    def _operate(self, what: str) -> Steps[None]:
        shell, store, rng = self.site.shell, self.site.store, self.rng
        thread_id = rng.choice(sorted(shell.members))
        wakes = [wake_id for _, wake_id in store.open_wakes()]
        hosts = sorted(self.fleet.workers)
        if what == "status":
            yield from self._ask_status(thread_id)
        elif what == "trigger":
            yield from shell.trigger(thread_id, rng.choice(shell.members[thread_id]))
        elif what == "pause":
            store.rows["pause",] = "lunch"
            yield rng.choice((1.0, 5.0))
            store.rows["pause",] = None
        elif what == "hold":
            yield from self.hold(shell.seat_of(rng.choice(sorted(shell.threads_of))).seat_session_id)
        elif what == "kill" and store.runs_open:
            yield from shell.end_run(rng.choice(list(store.runs_open)))
        elif what == "drain":
            self.fleet.begin(self.drain(rng.choice(hosts)))
        elif what == "bind":
            woken = [pair[1] for pair, _ in store.open_wakes()] or sorted(shell.threads_of)
            yield from shell.bind(rng.choice(woken), rng.choice(hosts))
        elif wakes and what in ("cancel", "force"):
            command = shell.cancel if what == "cancel" else shell.force
            yield from command(rng.choice(wakes))

    def hold(self, session_id: str | None) -> Steps[None]:
        """Somebody wants a session to himself: for a while, or until he gives it back."""
        if session_id is None or self.site.store.get("session", session_id) is None:
            return
        yield from self.site.shell.hold(session_id, self.rng.choice((1.0, 4.0, 12.0, 40.0)))
        if self.rng.chance(0.5):
            self.fleet.begin(self._give_back(session_id, self.rng.choice((0.2, 2.0, 6.0))))

    def _give_back(self, session_id: str, after_s: float) -> Steps[None]:
        yield after_s
        yield from self.site.shell.hold(session_id, self.rng.choice((0.0, 0.0, 1.0)))

    def drain(self, host: str) -> Steps[None]:
        """Nothing is started there for a while."""
        yield from self.site.shell.drain(host, draining=True)
        self.site.watch.note(f"{host} drains")
        yield self.rng.choice((3.0, 8.0))
        yield from self.site.shell.drain(host, draining=False)

    def _ask_status(self, thread_id: str) -> Steps[None]:
        status = ThreadStatus.CLOSED if self.rng.chance(0.06) else self.rng.choice(STATUSES)
        yield from calmly(self.site.shell.set_status(thread_id, status))
        if status is ThreadStatus.BLOCKED:
            self.fleet.begin(self._unblock(thread_id, self.rng.choice((0.3, 1.0, 6.0))))

    def _unblock(self, thread_id: str, after_s: float) -> Steps[None]:
        yield after_s
        yield from self.site.shell.set_status(thread_id, ThreadStatus.ACTIVE)

    def ring_early(self, deliver: Callable[[str, str | None], None]) -> Steps[None]:
        """Rings that nobody asked for, before their time."""
        while True:
            yield self.rng.expovariate(1 / 4)
            if not self.fleet.talking:
                return
            wakes = self.site.store.open_wakes()
            if wakes:
                hosts = sorted(self.fleet.workers)
                deliver(self.rng.choice(wakes)[1], self.rng.choice(hosts) if self.rng.chance(0.3) else None)


def _close_dialog(terminal: Terminal) -> None:
    terminal.dialog = False


def _clear(terminal: Terminal) -> None:
    if terminal.alive:
        terminal.human_clears()
