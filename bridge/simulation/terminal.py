"""A played terminal: an agent's session with an input box, a human at the keys, and a program that may misbehave.

A wrapper types by itself once it was asked (it outlives the hand that asked) and remembers each key with its
outcome, also when its link was cut; a plain terminal is typed into by the hand, and what that hand had typed when it
died stays in the box.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from bridge.core.states import Evidence, WaitReason
from bridge.ports.runtime import Handed, Line, Probed
from bridge.simulation.checks import Watch
from bridge.simulation.engine import SECOND, Dice, Engine, Park, Steps

DRAFT = "a human's draft"
WAIT_S = 2.0
QUIET_NEVER = -(10**12)
Step = Callable[[str], Steps[None]]


@dataclass(frozen=True, slots=True)
class Habits:
    """How a program treats what is typed: each the chance of it, for each line."""

    remembers: bool = True
    swallows: float = 0.0  # Enter has no effect
    blind: float = 0.0  # takes it without showing
    hangs: float = 0.0  # takes it much later
    ignores: float = 0.0  # takes it and never reads
    crashes: float = 0.0  # dies of it
    think_s: float = 1.0


class Terminal:
    """One process in one session."""

    def __init__(
        self,
        engine: Engine,
        rng: Dice,
        watch: Watch,
        agent_id: str,
        session_id: str,
        habits: Habits,
        host: str,
    ) -> None:
        self.engine, self.rng, self.watch, self.habits = engine, rng, watch, habits
        self.agent_id, self.session_id, self.host = agent_id, session_id, host
        self.alive, self.linked, self.term, self.linked_us = True, False, 0, 0
        self.box = ""
        self.dialog = self.busy = False
        self.human_us = QUIET_NEVER
        self.typed: Counter[str] = Counter()
        self._accepted: dict[str, None] = {}
        self._job: str | None = None
        self.on_submit: Callable[[Terminal, str], None] = lambda _terminal, _key: None
        self.on_crash: Callable[[Terminal], None] = lambda _terminal: None

    def probe(self, quiet_s: float, *, force: bool) -> Probed:
        """As the status that the wrapper tells."""
        if not (self.alive and self.linked):
            return Probed(free=False, reason=WaitReason.SEAT, why="not connected", here=False)
        if not force and self._idle_s() < quiet_s:
            return Probed(free=False, reason=WaitReason.HUMAN, why="a human types")
        if self.dialog or self.busy:
            return Probed(free=False, reason=WaitReason.BUSY, why="busy")
        return Probed(free=True)

    def hand_over(self, line: Line, step: Step) -> Steps[Handed]:
        """Hand the line over, by its deadline."""
        if not (self.alive and self.linked):
            return Handed(Evidence.GONE, WaitReason.SEAT, "not connected")
        if not self.habits.remembers:
            return (yield from self._inject(line, step))
        if line.key in self._accepted:
            return Handed(Evidence.ACCEPTED)
        if self._job is not None:
            return Handed(Evidence.NOT_TOUCHED, WaitReason.BUSY, "another line is being typed")
        self._job = line.key
        answer = Park(line.deadline_s)
        self.engine.start(self._by_itself(line, answer))
        handed: Handed | None = yield answer
        return handed or Handed(Evidence.UNVERIFIED, WaitReason.BUSY, "no answer in time")

    def _by_itself(self, line: Line, answer: Park) -> Steps[None]:
        handed = yield from self._inject(line, _no_step)
        self._job = None
        if self.linked:
            answer.wake(handed)

    def _inject(self, line: Line, step: Step) -> Steps[Handed]:
        touched = self.habits.remembers and self.typed[line.key] > 0
        look, may_type = line.look_first or touched, line.may_type and not touched
        waited_s, begun_us = 0.0, self.engine.us
        while refused := self._in_the_way(line, look=look):
            if waited_s >= WAIT_S:
                return refused
            yield 0.5
            waited_s += 0.5
        yield from step("before the first byte")
        if (self.engine.us - begun_us) / SECOND >= line.deadline_s:  # by its own clock: this hand was frozen
            return Handed(Evidence.NOT_TOUCHED, WaitReason.SLOT, "too late: nothing was typed")
        refused = self._in_the_way(line, look=look)
        if refused:
            return refused
        if self.box == line.key:
            return (yield from self._enter(line, step))
        if not may_type:
            return Handed(Evidence.ABSENT, why="our text is not there")
        self.watch.typing(self.session_id, self.typed[line.key], line)
        self.typed[line.key] += 1
        self.box = line.key
        yield self.rng.choice((0.05, 0.15))
        yield from step("typed, Enter not pressed")
        return (yield from self._enter(line, step))

    def _in_the_way(self, line: Line, *, look: bool) -> Handed | None:
        if not self.alive:
            return Handed(Evidence.GONE, WaitReason.SEAT, "its process has ended")
        if not line.force and self._idle_s() < line.quiet_s:
            return Handed(Evidence.NOT_TOUCHED, WaitReason.HUMAN, "human")
        if self.dialog or self.busy:
            return Handed(Evidence.NOT_TOUCHED, WaitReason.BUSY, "dialog")
        if self.box and not (look and self.box == line.key):
            return Handed(Evidence.NOT_TOUCHED, WaitReason.HUMAN, "draft")
        return None

    def _enter(self, line: Line, step: Step) -> Steps[Handed]:
        for _ in range(2):
            if not self.recognised(line):
                return Handed(Evidence.UNVERIFIED, why="the box is not as it was left")
            self.watch.entered(self.session_id, self.box, line, dialog=self.dialog)
            self._take(line.key)
            yield 0.2
            yield from step("Enter pressed")
            if not self.alive:
                return Handed(Evidence.UNVERIFIED, why="its process ended")
            if self.box != line.key:
                if self.rng.chance(self.habits.blind):
                    return Handed(Evidence.UNVERIFIED, why="it does not show what it takes")
                self._accepted[line.key] = None
                return Handed(Evidence.ACCEPTED)
            yield 0.6
        return Handed(Evidence.STRANDED, why="Enter had no effect")

    def recognised(self, line: Line) -> bool:
        """Whether the box holds our text and nothing else, now."""
        return self.alive and self.box == line.key and not self.dialog

    def _take(self, key: str) -> None:
        chance = self.rng.random()
        if chance < self.habits.swallows:
            return
        if chance < self.habits.swallows + self.habits.hangs:
            self.engine.after(self.rng.choice((1.5, 4.0, 9.0)), self._take_late, key)
            return
        self.box = ""
        if self.rng.chance(self.habits.crashes):
            self.crash()
        elif self.rng.random() >= self.habits.ignores:
            self.on_submit(self, key)

    def _take_late(self, key: str) -> None:
        if self.alive and self.box == key:
            self.box = ""
            self.on_submit(self, key)

    # --- what happens to it ----------------------------------------------------------------------------------

    def crash(self) -> None:
        """The process dies; whoever holds the link sees it."""
        if self.alive:
            self.alive = self.linked = False
            self.box, self.dialog, self.busy = "", False, False
            self.on_crash(self)

    def human_types(self, *, leaves_draft: bool) -> None:
        """A key pressed by a human; the wrapper holds keys back while it types itself."""
        if self._job is None or not self.habits.remembers or self.box == "":
            self.human_us = self.engine.us
            if leaves_draft and self.box == "":
                self.box = DRAFT

    def human_clears(self) -> None:
        """The human empties the box, or sends what stands there."""
        self.human_us = self.engine.us
        key, self.box = self.box, ""
        if key not in {"", DRAFT} and self.rng.chance(0.5):
            self.on_submit(self, key)

    def _idle_s(self) -> float:
        return (self.engine.us - self.human_us) / SECOND


def _no_step(_stage: str) -> Steps[None]:
    """A wrapper is no hand: nobody kills it between two keys."""
    yield from ()
