"""Workers: a process with many hands, which dies with all of them; a host's worker holds the host and its runs besides.

Once or twice a second it renews the host's term, ends what is to end, calls ended what no hand holds and of which
nothing lives, and looks after terminals that came or went while nobody looked.
"""

from __future__ import annotations

from bridge.core.effects import BeginAttempt
from bridge.core.errors import BridgeError, Unavailable
from bridge.core.run import Ended, Run
from bridge.core.states import Rung, RunResult
from bridge.simulation.engine import SECOND, Process, Steps
from bridge.simulation.hands import Hand
from bridge.simulation.processes import Book
from bridge.simulation.site import Site
from bridge.simulation.store import Duplicate
from bridge.simulation.terminal import Terminal

LOOK_S = 0.5
RENEWAL_S_MAX = 0.2
UNHELD_S = 5.0
RETURN_S = 0.8


class Worker:
    """One process, on a host (`host`) or on none."""

    def __init__(self, site: Site, name: str, *, on_host: bool) -> None:
        self.site, self.name = site, name
        self.host = name if on_host else None
        self.alive, self.frozen = True, False
        self._hands: list[tuple[Hand, Process]] = []
        self._incarnation = self._n = 0
        self.book: Book | None = None
        self.stutter_s = 0.0  # it will stand still for so long when it has renewed its term
        self._unheld: dict[str, int] = {}
        self._missing: set[str] = set()
        self._reconciled_us = 0
        self._begin()

    @property
    def hand(self) -> str:
        """This incarnation of it."""
        return f"{self.name}/{self._incarnation}"

    def _begin(self) -> None:
        self._incarnation += 1
        self._unheld, self._missing = {}, set()
        if self.host is not None:
            self.book = Book(self.site, self.hand)

    def take(self, wake_id: str) -> None:
        """Look at a wake."""
        if self.alive:
            self._n += 1
            hand = Hand(self.site, self, f"{self.hand}.{self._n}", wake_id)
            self._hands = [it for it in self._hands if it[1].alive]
            self._hands.append((hand, self.site.engine.start(hand.look())))

    def elsewhere(self, host: str) -> bool:
        """Whether a wake of that host is none of its business to deliver."""
        return host != self.host

    # --- how it fails ------------------------------------------------------------------------------------------

    def die(self) -> None:
        """Killed where it stands, hands and all; it comes back after a while."""
        if not self.alive:
            return
        self.alive = self.frozen = False
        site = self.site
        site.watch.note(f"{self.name} is killed")
        site.watch.counts["workers killed"] += 1
        for hand, process in self._hands:
            if hand.typing and process.alive:
                site.watch.faults[hand.wake_id] += 1
            process.kill()
        self._hands = []
        if self.book is not None:
            self.book.die()
            site.runtimes.worker_died(self.name)
        back_s = site.rng.choice((0.1, 0.1, 0.5, 1.5, 4.0, 6.0))
        site.watch.down.append((site.engine.us / SECOND, site.engine.us / SECOND + back_s))
        site.engine.after(back_s, self.come_back)

    def come_back(self, _: object = None) -> None:
        """Started again."""
        if not self.alive:
            self.alive = True
            self._begin()

    def calm_down(self) -> None:
        """Up and running."""
        self.come_back()
        self._stand(frozen=False)

    def freeze(self, seconds: float) -> None:
        """Stopped for so long, hands, book and all; what it started runs on."""
        self.site.watch.note(f"{self.name} stands still for {seconds:g} s")
        self.site.watch.counts["workers frozen"] += 1
        self._stand(frozen=True)
        self.site.engine.after(seconds, lambda _: self._stand(frozen=False))

    def _stand(self, *, frozen: bool) -> None:
        self.frozen = frozen
        if self.book is not None:
            self.book.awake = not frozen

    # --- runs --------------------------------------------------------------------------------------------------

    def start(self, run: Run, begun: BeginAttempt, left_s: float) -> None:
        """Start its process, if this hand is not late and no terminal holds the session. Raises BridgeError."""
        if self.late(left_s) or self.book is None:
            raise Unavailable("this worker was too slow")
        if begun.rung is Rung.RESUME and self.in_the_way(begun.session_id):
            raise Unavailable("a terminal holds the session here")
        self.book.start(run)

    def late(self, left_s: float) -> bool:
        """Whether the hand has too little left of its lease."""
        return left_s < 1

    def in_the_way(self, session_id: str) -> bool:
        """Whether a terminal holds the session here, whatever the database believes."""
        return self.holds(session_id)

    def holds(self, session_id: str) -> bool:
        """What it sees with its own eyes."""
        terminal = self.site.runtimes.terminal(session_id)
        return terminal is not None and terminal.alive and terminal.linked and terminal.host == self.host

    def keep(self) -> Steps[None]:
        """The host's thread."""
        while True:
            yield LOOK_S
            if not self.alive or self.frozen or self.book is None:
                continue
            try:
                yield from self._look(self.book)
            except (BridgeError, Duplicate):
                continue

    def _look(self, book: Book) -> Steps[None]:
        site, host = self.site, self.name
        began_us = site.engine.us
        yield from site.shell.see(host, self.hand)
        took_s = (site.engine.us - began_us) / SECOND
        if self.stutter_s:
            self.freeze(self.stutter_s)
            self.stutter_s = 0.0
        while self.frozen:
            yield 0.2
            took_s = (site.engine.us - began_us) / SECOND
        if not book.alive:
            return
        if self.renews(took_s):
            book.renew(took_s=took_s)
        if host in site.store.cut_off or not site.store.is_up:
            raise Unavailable
        found = site.shell.of_host(host)
        for run in found:
            if run.end_asked_at is not None:
                book.end(run.run_id, run.why or "", site.policy.kill_grace_s)
        yield from self._bury(book, [run for run in found if run.run_id not in book.held])
        if site.engine.us - self._reconciled_us > RETURN_S * SECOND:
            self._reconciled_us = site.engine.us
            yield from self._reconcile()

    def renews(self, took_s: float) -> bool:
        """A renewal that took too long lets nothing live on."""
        return took_s <= RENEWAL_S_MAX

    def _bury(self, book: Book, unheld: list[Run]) -> Steps[None]:
        now_us = self.site.engine.us
        self._unheld = {run.run_id: self._unheld.get(run.run_id, now_us) for run in unheld}
        lost = [run for run in unheld if run.worker != self.hand or self._waited(run, now_us)]
        if not lost:
            return
        for run in lost:
            book.refuse(run.run_id)
        alive = book.sweep({run.run_id for run in unheld if run not in lost})
        for run in lost:
            if run.run_id not in alive:
                event = Ended(RunResult.LOST, None, "the worker that watched it vanished")
                yield from self.site.shell.over(run.run_id, event, f"{self.hand}.bury")

    def _waited(self, run: Run, now_us: int) -> bool:
        return now_us - self._unheld[run.run_id] > UNHELD_S * SECOND

    # --- terminals ---------------------------------------------------------------------------------------------

    def _reconcile(self) -> Steps[None]:
        """Those that did not come back are gone; those that never went are held again. Two looks must agree."""
        site = self.site
        missing: set[str] = set()
        for session_id, terminal in list(site.runtimes.all_terminals().items()):
            row = site.store.rows.get(("session", session_id))
            if row is None:
                continue
            here = self.holds(session_id)
            if here and not (row.attached and row.host == self.name):
                missing.add(session_id)
                if session_id in self._missing:
                    yield from self._hold_again(terminal)
            elif row.attached and row.host == self.name and not here:
                missing.add(session_id)
                if session_id in self._missing:
                    yield from site.shell.detach(row.agent_id, session_id, row.term, f"{self.hand}.reconcile")
        self._missing = missing

    def _hold_again(self, terminal: Terminal) -> Steps[None]:
        if terminal.term:  # else it is registering just now
            terminal.term = yield from self.site.shell.attach(
                terminal.agent_id, terminal.session_id, self.name
            )
