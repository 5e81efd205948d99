"""What really runs: the processes of runs, the shims that watch them, and the book of a host's worker that holds those.

A shim outlives nothing: the end of its worker, a fence that nobody renewed, `kill_at` and the worker's word each end
its process, by TERM and, after the grace, by KILL. The rows know of all this only what the book tells.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from bridge.core.errors import BridgeError, Conflict, Unavailable
from bridge.core.run import Ended, Event, Run, Started
from bridge.core.states import RunResult
from bridge.simulation.engine import SECOND, Engine, Park, Process, Steps
from bridge.simulation.store import Duplicate

if TYPE_CHECKING:
    from bridge.simulation.site import Site

FENCE_S, GONE_GRACE_S = 3.0, 0.6
TELL_AGAIN_S = 0.3
ORDER_S = (0.02, 0.02, 0.1, 0.4)


class Program(Protocol):
    """What an agent's process does once it runs."""

    def __call__(self, shim: Shim) -> Steps[None]:
        """Until it ends by itself."""
        ...


class Shim:
    """One run: its shim and its process."""

    def __init__(self, site: Site, book: Book, run: Run) -> None:
        self.site, self.book, self.run = site, book, run
        self.engine: Engine = site.engine
        self.alive = False  # its process
        self.over = False  # nothing of it lives, nor will
        self.watched = True  # its shim lives
        self.stubborn = False  # TERM alone does not end it
        self.born_us = 0
        self.ending: str | None = None
        self._fence_us = book.renewed_us + int(FENCE_S * SECOND)
        self._acts: Process | None = None
        self.engine.after(site.rng.choice(ORDER_S), self._begin)

    def _begin(self, _: object) -> None:
        if self.over:
            return
        if not self.book.alive:
            self._gone(None)
            return
        site = self.site
        self.alive, self.born_us = True, self.engine.us
        site.living[self.run.run_id] = self
        site.watch.runs.born(self)
        self.tell(Started("boot", 1, 2, self.engine.us))
        self._acts = self.engine.start(self._act())
        self.engine.after(site.policy.kill_after_s, self._kill_at)
        self.engine.at_us(self._fence_us, self._fence)

    def _act(self) -> Steps[None]:
        yield from self.site.program(self)
        self.exits(0)

    # --- how it ends -------------------------------------------------------------------------------------------

    def exits(self, status: int) -> None:
        """By itself; what it left behind is ended with it."""
        result = RunResult.EXITED if status == 0 else RunResult.CRASHED
        if self.alive:
            left = self.site.rng.chance(0.2)
            self.engine.after(0.5 if left else 0.0, lambda _: self._gone(Ended(result, status, "")))

    def end(self, why: str, grace_s: float) -> None:
        """TERM, and KILL after the grace; the first reason counts."""
        if self.ending is None:
            self.ending = why
            if not self.stubborn:
                self.engine.after(self.site.rng.choice((0.02, 0.2)), lambda _: self.kill())
        self.engine.after(grace_s, lambda _: self.kill())

    def kill(self) -> None:
        """KILL, to all of it."""
        self._gone(Ended(RunResult.KILLED, -9, self.ending or "killed"))

    def lose(self) -> None:
        """Its shim is killed: its process goes with it, and what that left is found by its marker."""
        self.watched = False
        delay_s = self.site.rng.choice((0.0, 0.1, 0.4))
        self.engine.after(delay_s, lambda _: self._gone(Ended(RunResult.LOST, None, "its shim was killed")))

    def _gone(self, event: Ended | None) -> None:
        if self.over:
            return
        was, self.alive, self.over = self.alive, False, True
        if self._acts is not None:
            acts, self._acts = self._acts, None
            self.engine.after(0, lambda _: acts.kill())
        if was:
            del self.site.living[self.run.run_id]
            self.site.watch.runs.gone(self)
        if event is not None:
            self.tell(event)

    def _kill_at(self, _: object) -> None:
        if self.watched and not self.over:
            self.end("it ran for too long", self.site.policy.kill_grace_s)

    def _fence(self, _: object) -> None:
        if not self.watched or self.over or not self.fenced():
            return
        self._fence_us = max(self._fence_us, self.book.renewed_us + int(FENCE_S * SECOND))
        if self.engine.us >= self._fence_us:
            self.site.watch.counts["runs ended by their fence"] += 1
            self.end("its host's term was not renewed in time", self.short_grace())
        else:
            self.engine.at_us(self._fence_us, self._fence)

    def fenced(self) -> bool:
        """Whether it looks at its fence at all."""
        return True

    def short_grace(self) -> float:
        """When its worker or its term is gone."""
        return min(GONE_GRACE_S, self.site.policy.kill_grace_s)

    def tell(self, event: Event) -> None:
        """To the worker, if there is one."""
        self.book.tell(self, event)


class Book:
    """The runs of one worker, from their start until their end was taken."""

    def __init__(self, site: Site, hand: str) -> None:
        self._site, self._hand = site, hand
        self.host = hand.partition("/")[0]
        self.alive = self.awake = True
        self.renewed_us = site.engine.us
        self.died_us: int | None = None
        self.held: dict[str, Shim] = {}
        self._refused: set[str] = set()
        self._events: deque[tuple[Shim, Event]] = deque()
        self._idle: Park | None = None
        self._teller = site.engine.start(self._tell_forever())

    def start(self, run: Run) -> None:
        """Start it. Raises Conflict for a run that is over already, Unavailable for what cannot start now."""
        if self._site.engine.us >= self.renewed_us + int(FENCE_S * SECOND):
            raise Unavailable("this host's term is over: nothing is started")
        if run.run_id in self.held or run.run_id in self._refused:
            raise Conflict("this run was started or given up before")
        self.held[run.run_id] = self._site.shim(self._site, self, run)

    def refuse(self, run_id: str) -> None:
        """It was given up: whoever comes to start it is too late."""
        self._refused.add(run_id)

    def end(self, run_id: str, why: str, grace_s: float) -> None:
        """End it."""
        shim = self.held.get(run_id)
        if shim is not None and not shim.over:
            shim.end(why, grace_s)

    def renew(self, *, took_s: float) -> None:
        """The host's term was renewed by a call that took so long."""
        del took_s
        self.renewed_us = self._site.engine.us

    def sweep(self, keep: set[str]) -> set[str]:
        """Kill what lives of this host's runs that is neither held nor kept; what was found."""
        found = [
            shim
            for run_id, shim in self._site.living.items()
            if shim.book.host == self.host and run_id not in keep and run_id not in self.held
        ]
        for shim in found:
            shim.kill()
        return {shim.run.run_id for shim in found}

    def die(self) -> None:
        """Its worker is killed: its shims see the end of their pipe."""
        self.alive = False
        self._teller.kill()
        self.died_us = self._site.engine.us
        self.orphan()

    def orphan(self) -> None:
        """What it held ends itself."""
        for shim in list(self.held.values()):
            if shim.alive and shim.watched:
                shim.end("its worker is gone", shim.short_grace())

    def tell(self, shim: Shim, event: Event) -> None:
        """In order, until it is taken."""
        if self.alive:
            self._events.append((shim, event))
            if self._idle is not None:
                self._idle.wake()

    def _tell_forever(self) -> Steps[None]:
        site = self._site
        while True:
            if not self._events:
                self._idle = Park()
                yield self._idle
                self._idle = None
                continue
            yield site.rng.choice((0.001, 0.02))
            shim, event = self._events[0]
            try:
                if not self.awake:
                    raise Unavailable
                yield from self._carry(shim, event)
            except (BridgeError, Duplicate):
                yield TELL_AGAIN_S
                continue
            self._events.popleft()
            if isinstance(event, Ended):
                self.held.pop(shim.run.run_id, None)

    def _carry(self, shim: Shim, event: Event) -> Steps[None]:
        shell, run_id = self._site.shell, shim.run.run_id
        hand = f"{self._hand}.{run_id}"
        if isinstance(event, Ended):
            yield from shell.over(run_id, event, hand)
        else:
            yield from shell.move_run(run_id, event, hand)


ShimMaker = Callable[["Site", Book, Run], Shim]
