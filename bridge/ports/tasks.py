"""The tasks and queues by name: what web and workers know of each other.

Rules of this file:

- A ring's name tells the story in Flower; all rings about a wake carry its id and call the same command.
- Queues are listed, never made by a name that somebody mistyped: `host.<name>` comes from the hosts' table.
- The broker carries "do it now" alone: no task here takes a due time.
"""

from __future__ import annotations

from enum import StrEnum

from bridge.core.states import WaitReason, WakeState

TIMERS = "timers"
SUPERVISOR = "supervisor"
NOTIFY = "notify"
REPORTS = "reports"
FIXED_QUEUES = (TIMERS, SUPERVISOR, NOTIFY, REPORTS)

HOST_PREFIX = "host."


class TaskName(StrEnum):
    """Every task, one line a member."""

    WAKE_ATTEMPT = "wake.attempt"  # a wake's first look
    WAKE_CHECK_ACCEPT = "wake.check_accept"  # handed over: did the runtime take it?
    WAKE_CHECK_READ = "wake.check_read"  # taken: was it read?
    WAKE_RETRY = "wake.retry"  # the backoff after a failed try is over
    WAKE_RECHECK_DEFERRED = "wake.recheck_deferred"  # what it waited for may be over
    WAKE_FALL_BACK = "wake.fall_back"  # the next rung of the ladder
    WAKE_RECLAIM = "wake.reclaim"  # a hand's lease is over
    HOST_CANARY = "host.canary"  # this host's worker answers
    TICK_STALL = "tick.stall"  # findings without progress
    TICK_RECONCILE = "tick.reconcile"  # what belongs to hosts that are gone
    TICK_CANARY = "tick.canary"  # ask every host for a sign
    TICK_RETENTION = "tick.retention"  # what was kept long enough
    TICK_ANCHORS = "tick.anchors"  # the heads of the audit's chains


WAKE_TASKS = frozenset(name for name in TaskName if name.startswith("wake."))
TICK_TASKS = frozenset(name for name in TaskName if name.startswith("tick."))

ROUTES: dict[TaskName, str] = dict.fromkeys(sorted(TICK_TASKS), SUPERVISOR)
"""Where a task goes whose queue does not follow from its row; the others' rings name their queue."""


def host_queue(host: str) -> str:
    """The queue of a host's worker."""
    return HOST_PREFIX + host


_OF_PENDING = {
    WaitReason.FIRST: TaskName.WAKE_ATTEMPT,
    WaitReason.LISTENING: TaskName.WAKE_ATTEMPT,
    WaitReason.BACKOFF: TaskName.WAKE_RETRY,
    WaitReason.FALLBACK: TaskName.WAKE_FALL_BACK,
}


def ring_name(state: WakeState, reason: WaitReason, *, accepted: bool) -> TaskName:
    """What a ring about such a wake is called; of ended ones too, since a ring may come too late."""
    if state is WakeState.WAITING:
        return TaskName.WAKE_CHECK_READ if accepted else TaskName.WAKE_CHECK_ACCEPT
    if state is WakeState.PENDING:
        return _OF_PENDING.get(reason, TaskName.WAKE_RECHECK_DEFERRED)
    return TaskName.WAKE_RECLAIM
