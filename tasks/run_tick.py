"""The ticks' tasks: take the tick's row, do its one thing, say how it went."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog
from celery import Celery

from bridge.bootstrap import Container
from bridge.commands.detach_session import detach_session
from bridge.commands.find_stalls import find_stalls
from bridge.commands.move_run import move_run
from bridge.core.errors import BridgeError
from bridge.core.run import Ended
from bridge.core.states import RunResult
from bridge.ports.tasks import TaskName
from tasks.base import BridgeTask, Scope
from tasks.beat import TICKS, Tick
from tasks.claim_canary import ask_canaries

log = structlog.get_logger(__name__)


def register(app: Celery) -> None:
    """One task a tick."""
    for tick in TICKS:
        app.task(_task_of(tick), name=tick.name.value, base=BridgeTask, bind=True)


def _task_of(tick: Tick) -> Callable[[BridgeTask], str]:
    def task(self: BridgeTask) -> str:
        return run_tick(self.scope, tick)

    return task


def run_tick(scope: Scope, tick: Tick) -> str:
    """Run the tick if nobody else has; how it went, in a word: completed, idle. Raises what it fails with."""
    container = scope.container
    if not container.ticks.take(tick.name, tick.period_s, scope.worker):
        return "not now"
    try:
        found = WORK[tick.name](container)
    except BridgeError as error:
        log.warning("tick.failed", tick=tick.name.value, why=error.detail)
        raise
    finally:
        container.ticks.give_back(tick.name, scope.worker)
    if not found:
        log.debug("tick.idle", tick=tick.name.value)
        return "idle"
    log.info("tick.completed", tick=tick.name.value, found=found)
    return f"completed: {found}"


def _stall(container: Container) -> int:
    return sum(find_stalls(container.deps, workspace) for workspace in container.keeping.workspaces())


def _reconcile(container: Container) -> int:
    why = "its host is not seen any more"
    left = container.hosts.sessions_left()
    detached = sum(detach_session(container.deps, s.workspace_id, s.session_id, s.term, why) for s in left)
    runs = container.runs.left()
    for run in runs:  # their shims ended them before the term was over
        event = Ended(RunResult.LOST, None, why)
        move_run(container.deps, run.workspace_id, run.run_id, event, worker="tick.reconcile")
    return detached + len(runs)


def _canary(container: Container) -> int:
    ask_canaries(container)
    return 0  # asking is not finding


def _retention(container: Container) -> int:
    return sum(container.retention.forget_keys(workspace) for workspace in container.keeping.workspaces())


WORK: Mapping[TaskName, Callable[[Container], int]] = {
    TaskName.TICK_STALL: _stall,
    TaskName.TICK_RECONCILE: _reconcile,
    TaskName.TICK_CANARY: _canary,
    TaskName.TICK_RETENTION: _retention,
}
"""What each tick does: how many things it found."""
