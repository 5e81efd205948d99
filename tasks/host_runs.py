"""The runs of this host: what becomes of them goes to the database, and what the database wants of them is done.

Rules of this file:

- A run that this worker does not watch has no hand: an earlier worker's, or one whose start never came. Nothing of it
  may live, and only when nothing does it is called ended.
- The term's renewal is what lets runs live on. One that took too long to come back renews nothing: the database may
  have written it at its beginning.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from bridge.adapters.metrics import message_to_wake
from bridge.adapters.presets import load_preset
from bridge.adapters.presets.command import PresetError
from bridge.bootstrap import Container
from bridge.commands.move_run import move_run
from bridge.commands.rouse_wake import rouse_wake
from bridge.core.errors import BridgeError, Conflict, NotFound
from bridge.core.run import Ended, Event, Proved, Run, Started
from bridge.core.states import Rung, RunResult, SessionFound
from bridge.ports.hosts import OpenRun
from bridge.ports.runs import Runs, RunSpec

log = structlog.get_logger(__name__)

RENEWAL_S_MAX = 1.0
"""A renewal that took longer lets no run live on: fence and term are five seconds apart."""
UNHELD_S = 30.0
"""A start has this long to be watched by the worker that began it."""
WAITERS = 2


def can_resume(preset: str, presets_dir: Path) -> bool:
    """Whether the preset resumes what it started; one that was taken away or broken since then does not."""
    try:
        command = load_preset(preset, presets_dir).command
    except PresetError as error:
        log.warning("preset.refused", preset=preset, why=str(error))
        return False
    return command is not None and Rung.RESUME.value in command.rungs


class RunReports:
    """The RunWatcher of a host's worker: each report is one command, told again until it is taken."""

    def __init__(self, container: Container, presets_dir: Path, worker: str) -> None:
        self._container, self._presets_dir, self._worker = container, presets_dir, worker

    def started(self, spec: RunSpec, *, boot_id: str, shim_pid: int, pid: int, pid_started: int) -> None:
        """Its process is there."""
        self._move(spec.workspace_id, spec.run_id, Started(boot_id, shim_pid, pid, pid_started))

    def proved(self, spec: RunSpec, native_id: str) -> None:
        """It is whom it was to be: what it was told of was taken."""
        proved = Proved(native_id, can_resume(spec.preset, self._presets_dir))
        run = self._move(spec.workspace_id, spec.run_id, proved)
        if run is not None and run.proved_at is not None:
            message_to_wake.observe((run.proved_at - run.begun_at).total_seconds())

    def ended(
        self,
        spec: RunSpec,
        *,
        status: int | None,
        result: str,
        why: str,
        found: SessionFound | None = None,
    ) -> None:
        """Nothing of it lives: its slot is free, and those who wait for one look again."""
        self.over(spec.workspace_id, spec.run_id, Ended(RunResult(result), status, why, found))

    def over(self, workspace_id: str, run_id: str, event: Ended) -> None:
        """A run has ended, whoever found that out."""
        run = self._move(workspace_id, run_id, event)
        if run is None:
            return
        for waiter in self._container.runs.waiters(run.host, WAITERS):
            try:
                rouse_wake(self._container.deps, waiter.workspace_id, waiter.wake_id)
            except BridgeError as error:  # it looks again by itself
                log.debug("run.waiter_not_roused", wake_id=waiter.wake_id, why=error.detail)

    def _move(self, workspace_id: str, run_id: str, event: Event) -> Run | None:
        try:
            run = move_run(self._container.deps, workspace_id, run_id, event, worker=self._worker)
        except NotFound:
            log.warning("run.unknown", run_id=run_id)
            return None
        log.info(
            "run.moved", run_id=run_id, event_type=type(event).__name__, state=run.state.value, why=run.why
        )
        return run


class RunKeeping:
    """One look a second: renew, end what is to end, and see to runs that no hand holds."""

    def __init__(
        self,
        container: Container,
        runs: Runs,
        reports: RunReports,
        host: str,
        worker: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._container, self._runs, self._reports = container, runs, reports
        self._host, self._worker, self._clock = host, worker, clock
        self._unheld: dict[str, float] = {}

    def renewed(self, took_s: float) -> None:
        """The host's term was renewed by a call that took so long."""
        if took_s <= RENEWAL_S_MAX:
            self._runs.renew()

    def look(self) -> None:
        """Compare the database's open runs of this host with what lives here. Raises BridgeError."""
        found = self._container.runs.of_host(self._host)
        held = self._runs.held()
        for run in found:
            if run.run_id in held and run.end_asked:
                grace_s = self._container.deps.policies.current(run.workspace_id).kill_grace_s
                self._runs.end(run.run_id, run.why, grace_s)
        self._bury([run for run in found if run.run_id not in held])

    def _is_lost(self, run: OpenRun, now: float) -> bool:
        if run.worker != self._worker:
            return True
        # Ours, and long begun: the hand that was to start it finds the book closed to it from now on.
        return now - self._unheld[run.run_id] > UNHELD_S and self._runs.refuse(run.run_id)

    def _bury(self, unheld: list[OpenRun]) -> None:
        now = self._clock()
        self._unheld = {run.run_id: self._unheld.get(run.run_id, now) for run in unheld}
        lost = [run for run in unheld if self._is_lost(run, now)]
        if not lost:
            return
        ids = {run.run_id for run in lost}
        # What was found now is killed, and is looked for once more before it is called ended.
        alive = self._runs.sweep({run.run_id for run in unheld} - ids)
        for run in lost:
            if run.run_id not in alive:
                self._call_over(run)

    def _call_over(self, run: OpenRun) -> None:
        why = run.why if run.end_asked else "the worker that watched it vanished"
        try:
            self._reports.over(run.workspace_id, run.run_id, Ended(RunResult.LOST, None, why))
        except Conflict as conflict:  # held by somebody: the next look tries again, and no other waits for it
            log.warning("run.not_told", run_id=run.run_id, why=conflict.detail)
