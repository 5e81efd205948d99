"""The ticks' tasks: take the tick's row, do its one thing, say how it went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import structlog
from celery import Celery

from bridge.bootstrap import Container
from bridge.commands.anchor_heads import anchor_heads
from bridge.commands.detach_session import detach_session
from bridge.commands.find_stalls import find_stalls
from bridge.commands.move_run import move_run
from bridge.core.errors import BridgeError, Conflict
from bridge.core.run import Ended
from bridge.core.states import RunResult
from bridge.ports.tasks import TaskName
from tasks.base import BridgeTask, Scope
from tasks.beat import TICKS, Tick
from tasks.claim_canary import ask_canaries

log = structlog.get_logger(__name__)
ANCHORS_MAX = 20
"""Anchors that a workspace gets at one tick: what is left after a standstill waits for the next."""


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
    deps = container.deps
    sessions = [
        partial(detach_session, deps, left.workspace_id, left.session_id, left.term, why)
        for left in container.hosts.sessions_left()
    ]
    lost = Ended(RunResult.LOST, None, why)
    runs = [  # their shims ended them before the term was over
        partial(move_run, deps, left.workspace_id, left.run_id, lost, worker="tick.reconcile")
        for left in container.runs.left()
    ]
    return _each(*sessions, *runs)


def _each(*jobs: Callable[[], object]) -> int:
    """Do them all; how many found something. Raises Conflict, at the end, when a row was held: it is tried again."""
    held: Conflict | None = None
    found = 0
    for job in jobs:
        try:
            found += bool(job())
        except (
            Conflict
        ) as conflict:  # a host that was cut off in the middle of something holds its rows for a while
            held = conflict
    if held is not None:
        raise held
    return found


def _canary(container: Container) -> int:
    ask_canaries(container)
    return 0  # asking is not finding


def _retention(container: Container) -> int:
    return sum(container.retention.forget_keys(workspace) for workspace in container.keeping.workspaces())


def _anchors(container: Container) -> int:
    return sum(_anchor(container, workspace) for workspace in container.keeping.workspaces())


def _anchor(container: Container, workspace: str) -> int:
    found, more = 0, True
    for _ in range(ANCHORS_MAX):
        if more:
            count, more = anchor_heads(container.deps, workspace)
            found += count
    return found


WORK: Mapping[TaskName, Callable[[Container], int]] = {
    TaskName.TICK_STALL: _stall,
    TaskName.TICK_RECONCILE: _reconcile,
    TaskName.TICK_CANARY: _canary,
    TaskName.TICK_RETENTION: _retention,
    TaskName.TICK_ANCHORS: _anchors,
}
"""What each tick does: how many things it found."""
