"""The checkers of holds: what was said about a session, kept apart from its row, against what was done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.core.effects import BeginAttempt
from bridge.core.states import Rung, WaitReason
from bridge.core.wake_events import TouchAllowed
from bridge.ports.runtime import Line
from bridge.simulation.engine import SECOND, us_of
from bridge.simulation.store import Said

if TYPE_CHECKING:
    from bridge.simulation.checks import Watch


class HoldWatch:
    """Who was held since when and until when, in microseconds, as it was asked for."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._held: dict[str, tuple[int, int]] = {}
        self._begun: dict[str, int] = {}  # when the wake's newest attempt was decided

    def held(self, session_id: str, for_s: float) -> None:
        """It was just committed that the session is held for so long; 0: that it is not."""
        now = self._watch.engine.us
        since, until = self._held.get(session_id, (now, now))
        self._held[session_id] = (since if until > now else now, now + int(for_s * SECOND))
        self._watch.note(f"{session_id} is held for {for_s:g} s" if for_s else f"{session_id} is released")
        self._watch.counts["holds" if for_s else "releases"] += 1

    def judge(self, said: Said) -> None:
        """Nothing begins in what was held when the facts were read; and a hold counts as nobody's typing."""
        before, after = said.before, said.decision.state
        if after.reason is WaitReason.HELD and before.reason is not WaitReason.HELD:
            self._watch.counts["waits for a hold"] += 1
        if isinstance(said.event, TouchAllowed) and before.reason is WaitReason.HELD:
            rule = "a hold is no human's deferral"
            self._watch.require(after.deferred_s == before.deferred_s, rule, before.wake_id)
        for effect in said.decision.effects:
            if isinstance(effect, BeginAttempt) and isinstance(said.event, TouchAllowed):
                self._begins(said, effect, said.event)

    def _begins(self, said: Said, effect: BeginAttempt, event: TouchAllowed) -> None:
        now = us_of(said.now)
        self._begun[said.before.wake_id] = now
        seat = event.facts.session.session_id if event.facts.session is not None else effect.session_id
        if not self._stands(seat, now):
            return
        self._watch.counts["forced through a hold"] += said.before.forced
        what = "begun in" if effect.rung is Rung.LIVE else "started for"
        rule = f"nothing is {what} a held session unless forced"
        self._watch.require(said.before.forced, rule, f"{said.before.wake_id}: {seat}")

    def typing(self, session_id: str, line: Line) -> None:
        """Our text is about to be typed: what was begun before the hold may be finished, nothing else."""
        begun = self._begun.get(line.key, 0)
        held = self._stands(session_id, self._watch.engine.us) and self._held[session_id][0] < begun
        rule = "nothing is typed into a held session unless forced"
        self._watch.require(line.force or not held, rule, f"{line.key} in {session_id}")

    def _stands(self, session_id: str, at_us: int) -> bool:
        since, until = self._held.get(session_id, (0, 0))
        return since < at_us < until
