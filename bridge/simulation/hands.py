"""A hand: one task run for one ring, as `tasks/deliver_wake.py`.

Claim, look, commit `touching`, hand over or start a process, settle. Its worker may die, or the hand may freeze,
between any two of its steps; a frozen one likes to come back when another hand is at the same wake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.core.effects import BeginAttempt
from bridge.core.errors import (
    BridgeError,
    CallerError,
    Conflict,
    FenceRejected,
    InvalidTransition,
    Unavailable,
)
from bridge.core.run import Ended
from bridge.core.states import Evidence, Rung, RunResult, WaitReason
from bridge.ports.runtime import Handed, Line
from bridge.simulation.engine import SECOND, Park, Steps
from bridge.simulation.site import Site
from bridge.simulation.store import Duplicate
from bridge.simulation.wakes import Advanced

if TYPE_CHECKING:
    from bridge.simulation.hosts import Worker

SETTLE_S = 1.0
SETTLE_TRIES = 3
SETTLE_PAUSE_S = 0.3


class Hand:
    """One look at one wake."""

    def __init__(self, site: Site, worker: Worker, name: str, wake_id: str) -> None:
        self._site, self._worker, self._name, self.wake_id = site, worker, name, wake_id
        self._since = site.engine.us
        self.typing = self._starts = False

    def look(self) -> Steps[None]:
        """As far as it comes."""
        watch = self._site.watch
        try:
            yield from self._awake()
            advanced = yield from self._site.shell.advance(self.wake_id, self._name)
            if advanced.absorbed:
                watch.absorbed(advanced.wake)
            if advanced.probe is None:
                return
            self._starts = advanced.wake.rung is not Rung.LIVE
            yield from self._step("claimed")
            yield from self._deliver(advanced, advanced.probe.fence)
        except FenceRejected:
            watch.counts["refused by its fence"] += 1
            watch.note(f"{self._name} is refused by its fence ({self.wake_id})")
        except (Conflict, InvalidTransition, Duplicate):
            watch.counts["conflict"] += 1
        except Unavailable:
            watch.counts["database not reached"] += 1
            watch.lost_rings[self.wake_id] += 1
            watch.faults[self.wake_id] += self.typing  # what it saw is known to nobody

    def _deliver(self, advanced: Advanced, fence: int) -> Steps[None]:
        shell, wake = self._site.shell, advanced.wake
        refused = self._refused(advanced)
        yield from self._step("looked")
        if refused:
            reason, why = refused
            yield from shell.postpone(self.wake_id, fence, reason, why, self._name)
            return
        begun = yield from shell.touch(self.wake_id, fence, self._name)
        if begun is None:
            return
        if wake.rung is not Rung.LIVE:
            yield from self._start(begun)
            return
        self.typing = True
        self._thaw_others()
        yield from self._step("touching")
        handed = yield from self._hand_over(begun)
        self._site.watch.handed(begun.attempt_id, handed.evidence)
        yield from self._step("before the outcome")
        yield from self._settle(begun, handed)

    def _refused(self, advanced: Advanced) -> tuple[WaitReason, str] | None:
        wake = advanced.wake
        if self._worker.elsewhere(advanced.host):
            return WaitReason.HOST, "this worker stands on another host"
        if wake.rung is not Rung.LIVE:
            return None
        terminal = self._site.runtimes.terminal(wake.session_id or "")
        if terminal is None or terminal.host != self._worker.host:
            return WaitReason.SEAT, "not connected"
        probed = terminal.probe(self._site.policy.defer_quiet_s, force=wake.forced)
        return None if probed.free else (probed.reason or WaitReason.BUSY, probed.why)

    # --- a process is started ------------------------------------------------------------------------------------

    def _start(self, begun: BeginAttempt) -> Steps[None]:
        site = self._site
        self._thaw_others()
        yield from self._step("before its start")
        run = site.store.rows["run", site.store.rows["run of", begun.attempt_id]]
        try:
            self._worker.start(run, begun, self._left_s())
        except CallerError:
            handed = Handed(Evidence.GONE, WaitReason.HOST, "it could not be started")
        except BridgeError as error:
            handed = Handed(Evidence.NOT_TOUCHED, WaitReason.HOST, error.detail)
        else:
            handed = Handed(Evidence.UNVERIFIED, why="its process was started")
        site.watch.handed(begun.attempt_id, handed.evidence)
        yield from self._step("started" if handed.evidence is Evidence.UNVERIFIED else "not started")
        if handed.evidence is not Evidence.GONE:
            yield from self._settle(begun, handed)
        if handed.evidence is not Evidence.UNVERIFIED:
            result = RunResult.CRASHED if handed.evidence is Evidence.GONE else RunResult.LOST
            never = Ended(result, None, handed.why)
            yield from site.shell.move_run(run.run_id, never, self._name)

    def _left_s(self) -> float:
        """Of its lease, by its own clock."""
        return self._site.policy.lease_s - (self._site.engine.us - self._since) / SECOND - SETTLE_S

    # --- a line is typed -----------------------------------------------------------------------------------------

    def _hand_over(self, begun: BeginAttempt) -> Steps[Handed]:
        left_s = self._left_s()
        if left_s < 1:
            return Handed(Evidence.NOT_TOUCHED, WaitReason.SLOT, "this worker was too slow")
        terminal = self._site.runtimes.terminal(begun.session_id)
        if terminal is None:
            return Handed(Evidence.GONE, WaitReason.SEAT, "not connected")
        line = Line(
            key=self.wake_id,
            text="",
            look_first=begun.look_first,
            may_type=begun.may_type,
            force=begun.force,
            quiet_s=self._site.policy.defer_quiet_s,
            deadline_s=min(left_s, 6.0),
        )
        return (yield from terminal.hand_over(line, self._step))

    def _settle(self, begun: BeginAttempt, handed: Handed) -> Steps[None]:
        for left in reversed(range(SETTLE_TRIES)):
            try:
                yield from self._site.shell.settle(
                    self.wake_id, begun, handed.evidence, handed.reason, handed.why, self._name
                )
            except (Conflict, Unavailable):
                if not left:
                    raise
                yield SETTLE_PAUSE_S
            else:
                break
        late = handed.evidence is Evidence.UNVERIFIED and begun.rung is Rung.LIVE
        if late and self._site.rng.chance(0.4):
            yield self._site.rng.choice((0.2, 1.0, 1.8, 6.0))
            yield from self._site.shell.accept(self.wake_id, begun.attempt_id)

    def _awake(self) -> Steps[None]:
        """Its whole worker may be stopped."""
        if self._worker.frozen:
            self._site.watch.lost_rings[self.wake_id] += 1
            if self.typing:
                self._site.watch.faults[self.wake_id] += 1
        while self._worker.frozen:
            yield 0.2

    def _step(self, stage: str) -> Steps[None]:
        """Between two steps: the worker may die here, or the hand may freeze."""
        site, chance = self._site, self._site.rng.random()
        trouble = site.trouble
        if chance < trouble.kill:
            self._fault(stage, "killed")
            site.engine.after(0, lambda _: self._worker.die())
            yield Park()
        elif chance < trouble.kill + trouble.freeze * (3 if self._starts else 1):
            self._fault(stage, "frozen")
            lease_s = site.policy.lease_s
            park = Park(site.rng.choice((0.5, lease_s * 0.8, lease_s + 0.5, lease_s * 2.5, lease_s * 6)))
            site.frozen.setdefault(self.wake_id, []).append(park)
            if site.rng.chance(0.9 if self._starts else 0.4):
                site.meddle(site.store.rows["wake", self.wake_id].wake.agent_id)
            yield park
            site.watch.note(f"{self._name} thaws ({stage}, {self.wake_id})")
        else:
            yield site.rng.choice((0.001, 0.01, 0.05))
        if self._worker.frozen:
            yield from self._awake()

    def _fault(self, stage: str, what: str) -> None:
        self._site.watch.note(f"{self._name} is {what}: {stage} ({self.wake_id})")
        self._site.watch.counts[f"{what} {stage}"] += 1
        if self.typing and what == "frozen":  # those that are killed are counted with their worker
            self._site.watch.faults[self.wake_id] += 1

    def _thaw_others(self) -> None:
        """Whoever froze over this wake comes back now, just when it does most harm."""
        for park in self._site.frozen.pop(self.wake_id, []):
            if self._site.rng.chance(0.7):
                self._site.engine.after(self._site.rng.random() * 0.4, park.wake)
