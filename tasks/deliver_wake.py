"""One wake, one look: claim, look at the session, commit `touching`, hand the line over, settle.

Every ring about a wake, whatever its name, and the standby come here. Nothing is decided: each command says what the
next step is, and the fence refuses a hand that lost its lease. This hand's own clock makes it give up before that.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta

import structlog
from celery import Celery

from bridge.adapters.metrics import (
    duplicates_absorbed,
    fence_rejected,
    fire_lateness,
    lease_expired,
    message_to_wake,
    wake_attempts,
)
from bridge.adapters.runtimes.orphans import held_by_hand
from bridge.commands.advance_wake import Advanced, advance_wake
from bridge.commands.postpone_wake import postpone_wake
from bridge.commands.settle_wake import settle_wake
from bridge.commands.touch_wake import Begun, touch_wake
from bridge.config import Settings
from bridge.core.errors import Conflict, FenceRejected, Unavailable
from bridge.core.run import Run
from bridge.core.states import Evidence, Rung, RunResult, WaitReason, WakeState
from bridge.core.wake_events import Wake
from bridge.ports.runtime import Handed, Line, Runtime, SessionRef, Waits
from bridge.ports.tasks import WAKE_TASKS, TaskName
from tasks.base import BridgeTask, Scope, Starter
from tasks.start_run import note_never_started, start_run

log = structlog.get_logger(__name__)

TOO_SLOW = "this worker was too slow: nothing was touched"
HAND_OVER_S_MAX = 10.0
AT_THE_TERMINAL = frozenset({WaitReason.HUMAN, WaitReason.BUSY})
"""What a terminal's human holds up, and is told of; who holds his session wants to hear nothing."""
SETTLE_PAUSE_S = 0.3
SETTLE_S = 3.0
"""What is left of the lease for recording how it went."""


def register(app: Celery) -> None:
    """The tasks whose ring is about a wake: many names, one thing to do."""
    for name in sorted(WAKE_TASKS):

        @app.task(name=name.value, base=BridgeTask, bind=True)
        def ring(self: BridgeTask, workspace_id: str, wake_id: str) -> str:
            return deliver_wake(self.scope, workspace_id, wake_id, TaskName(self.name))


def deliver_wake(scope: Scope, workspace_id: str, wake_id: str, kind: TaskName) -> str:
    """Take the wake one step on; how it stands then, in a word. `kind`: what it was rung for.

    Raises NotFound, Conflict, Unavailable.
    """
    hand = _Hand(scope, workspace_id, wake_id)
    try:
        return hand.look(kind)
    except FenceRejected as refused:
        fence_rejected.inc()
        log.warning("wake.fenced", wake_id=wake_id, why=refused.detail)
        return "fenced"


class _Hand:
    """One worker's hand on one wake, for one claim."""

    def __init__(
        self, scope: Scope, workspace_id: str, wake_id: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._container, self._deps, self._settings = scope.container, scope.container.deps, scope.settings
        self._runtime, self._starter, self._worker = scope.runtime, scope.starter, scope.worker
        self._workspace_id, self._wake_id = workspace_id, wake_id
        self._clock, self._since = clock, clock()

    def look(self, kind: TaskName) -> str:
        advanced = advance_wake(self._deps, self._workspace_id, self._wake_id, self._worker)
        if advanced.absorbed:
            duplicates_absorbed.inc()
            return "early" if advanced.early else "done before"
        _count(kind, advanced)
        if advanced.probe is None:
            self._tell(advanced.wake)
            return story(advanced.wake)
        crash_point(self._settings, "after_claim")
        fence = advanced.probe.fence
        if self._runtime is None or advanced.host != self._settings.host_name:
            return self._postpone(fence, WaitReason.HOST, "this worker stands on another host")
        if advanced.probe.rung is Rung.LIVE:
            return self._type(self._runtime, advanced, advanced.probe.session_id, fence)
        return self._start(self._runtime, advanced, fence)

    def _type(self, runtime: Runtime, advanced: Advanced, session_id: str, fence: int) -> str:
        session = SessionRef(self._workspace_id, advanced.wake.agent_id, session_id)
        policy = self._deps.policies.current(self._workspace_id)
        probed = runtime.probe(session, quiet_s=policy.defer_quiet_s, force=advanced.wake.forced)
        crash_point(self._settings, "after_probe")
        if not probed.free:
            return self._postpone(fence, probed.reason or WaitReason.BUSY, probed.why)
        begun = touch_wake(self._deps, self._workspace_id, self._wake_id, fence=fence, worker=self._worker)
        if not isinstance(begun, Begun):
            return story(begun)
        crash_point(self._settings, "after_touching")
        return self._settle(begun, self._hand_over(runtime, session, begun))

    def _start(self, runtime: Runtime, advanced: Advanced, fence: int) -> str:
        starter = self._starter
        if starter is None:
            return self._postpone(fence, WaitReason.HOST, "this host starts nothing now")
        wake = advanced.wake
        session = SessionRef(self._workspace_id, wake.agent_id, wake.session_id or "")
        here = runtime.probe(session, quiet_s=0.0, force=True).here
        if here or (session.session_id and held_by_hand(self._workspace_id, session.session_id)):
            # What this worker sees with its own eyes counts more than a row.
            return self._postpone(fence, WaitReason.SEAT, "a terminal holds its session here")
        start_by = starter.runs.start_by()
        begun = touch_wake(self._deps, self._workspace_id, self._wake_id, fence=fence, worker=self._worker)
        if not isinstance(begun, Begun) or begun.run is None:
            return story(begun.wake if isinstance(begun, Begun) else begun)
        crash_point(self._settings, "after_touching")
        return self._begin_run(starter, begun, begun.run, start_by)

    def _begin_run(self, starter: Starter, begun: Begun, run: Run, start_by: float) -> str:
        if self._left_s(begun) < 1:
            handed = Handed(Evidence.NOT_TOUCHED, WaitReason.SLOT, TOO_SLOW)
        else:
            runs, credentials = starter.runs, starter.credentials
            handed = start_run(self._container, runs, credentials, begun, run, start_by=start_by)
        if handed.evidence is Evidence.GONE:  # judged as any run that ended, and its slot is free again
            note_never_started(self._container, run, handed.why, RunResult.CRASHED, worker=self._worker)
            return f"not started: {handed.why}"
        told = self._settle(begun, handed)
        if handed.evidence is Evidence.NOT_TOUCHED:
            note_never_started(self._container, run, handed.why, RunResult.LOST, worker=self._worker)
        return told

    def _postpone(self, fence: int, reason: WaitReason, why: str) -> str:
        wake = postpone_wake(
            self._deps,
            self._workspace_id,
            self._wake_id,
            fence=fence,
            reason=reason,
            why=why,
            worker=self._worker,
        )
        wake_attempts.labels(wake.rung, "deferred").inc()
        self._tell(wake)
        return story(wake)

    def _tell(self, wake: Wake) -> None:
        """Say at the terminal what its human holds up, or that nothing is held up any more."""
        if self._runtime is None or wake.rung is not Rung.LIVE or wake.session_id is None:
            return
        again_in_s = None
        if wake.state is WakeState.PENDING and wake.reason in AT_THE_TERMINAL:
            recheck_s = self._deps.policies.current(self._workspace_id).defer_recheck_s
            asked = (
                wake.due_at - wake.since if wake.reason is WaitReason.HUMAN else timedelta(seconds=recheck_s)
            )
            again_in_s = max(0.0, asked.total_seconds())
        session = SessionRef(self._workspace_id, wake.agent_id, wake.session_id)
        self._runtime.tell(session, Waits(self._wake_id, wake.why or "", again_in_s))

    def _hand_over(self, runtime: Runtime, session: SessionRef, begun: Begun) -> Handed:
        left_s = self._left_s(begun)
        if left_s < 1:
            return Handed(Evidence.NOT_TOUCHED, WaitReason.SLOT, TOO_SLOW)
        line = Line(
            key=self._wake_id,
            text=one_line(begun.unread, begun.threads),
            look_first=begun.attempt.look_first,
            may_type=begun.attempt.may_type,
            force=begun.attempt.force,
            quiet_s=begun.quiet_s,
            deadline_s=min(left_s, HAND_OVER_S_MAX, begun.accept_timeout_s),
            unread=begun.unread,
            threads=begun.threads,
        )
        return runtime.hand_over(session, line)

    def _left_s(self, begun: Begun) -> float:
        """What is left of the lease by this hand's own clock, less what recording takes."""
        return begun.lease_s - (self._clock() - self._since) - SETTLE_S

    def _settle(self, begun: Begun, handed: Handed) -> str:
        crash_point(self._settings, "before_settle")
        wake = self._record(begun, handed)
        self._tell(wake)
        touched = handed.evidence is not Evidence.NOT_TOUCHED
        wake_attempts.labels(
            begun.attempt.rung.value, _TRIED[begun.attempt.rung] if touched else "deferred"
        ).inc()
        if wake.accepted_at is not None:
            message_to_wake.observe((wake.accepted_at - wake.created_at).total_seconds())
        return f"{wake.state.value}: {handed.evidence.value}"

    def _record(self, begun: Begun, handed: Handed) -> Wake:
        """What the hand saw is known to nobody else: a held lock or a restarting database is asked again."""
        for last in (False, False, True):
            try:
                return settle_wake(
                    self._deps,
                    self._workspace_id,
                    self._wake_id,
                    fence=begun.attempt.fence,
                    attempt_id=begun.attempt.attempt_id,
                    evidence=handed.evidence,
                    reason=handed.reason,
                    why=handed.why,
                    by=handed.by,
                    worker=self._worker,
                )
            except (Conflict, Unavailable):
                if last:
                    raise
                time.sleep(SETTLE_PAUSE_S)
        raise AssertionError  # the last round returned or raised


_TRIED = {Rung.LIVE: "triggered", Rung.RESUME: "fallback_resumed", Rung.SPAWN: "fallback_spawned"}
_ENDS = {WakeState.ALREADY_ACTIVE: "already_active", WakeState.FAILED: "failed"}
_CHECKS = frozenset({TaskName.WAKE_CHECK_ACCEPT, TaskName.WAKE_CHECK_READ})


def _count(kind: TaskName, advanced: Advanced) -> None:
    wake = advanced.wake
    fire_lateness.labels(kind.value).observe(max(0.0, advanced.lateness_s))
    if kind is TaskName.WAKE_RECLAIM:
        lease_expired.inc()
    if kind in _CHECKS and wake.state is WakeState.PENDING:
        wake_attempts.labels(wake.rung, "timeout").inc()
    if wake.state in _ENDS:
        wake_attempts.labels(wake.rung or "none", _ENDS[wake.state]).inc()


def story(wake: Wake) -> str:
    """How a wake stands, in a word or two, for those who watch the tasks go by."""
    return f"{wake.state.value}: {wake.reason.value}" if wake.state is WakeState.PENDING else wake.state.value


def one_line(unread: int, threads: int) -> str:
    """What is typed: it points, it quotes nothing that anybody wrote."""
    messages = "1 new message" if unread == 1 else f"{unread} new messages"
    where = "1 thread" if threads == 1 else f"{threads} threads"
    return f"Wakebridge: {messages} in {where}. Read with: bridge inbox"


def crash_point(settings: Settings, name: str) -> None:
    """Die here as by SIGKILL, when a rehearsal asks for it; never outside of a test database."""
    if settings.test_clock and settings.crash_at == name:
        os.kill(os.getpid(), signal.SIGKILL)
