"""The ticks as data: what beat rings again and again, and why.

A tick says "look", never "do": what it finds is computed from the database, so one that is lost or comes twice does
no harm. Its message is worthless after its period, and expires then. A row for each tick makes two beats share them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.ports.tasks import SUPERVISOR, TaskName


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick: its name, how often, and what would go unnoticed without it."""

    name: TaskName
    period_s: float
    why: str


TICKS = (
    Tick(TaskName.TICK_STALL, 5.0, "open findings that nobody works on are found by no post"),
    Tick(TaskName.TICK_RECONCILE, 5.0, "sessions of a host that is gone would look alive for ever"),
    Tick(TaskName.TICK_CANARY, 5.0, "a host whose worker claims nothing looks idle"),
    Tick(TaskName.TICK_RETENTION, 60.0, "rows that were kept long enough would pile up"),
    Tick(
        TaskName.TICK_ANCHORS,
        300.0,
        "what was cut off the end of a chain, with its head, could not be missed",
    ),
)


def beat_schedule() -> dict[str, dict[str, Any]]:
    """The ticks in the form that Celery's beat reads."""
    return {
        tick.name.value: {
            "task": tick.name.value,
            "schedule": tick.period_s,
            "options": {"queue": SUPERVISOR, "expires": tick.period_s},
        }
        for tick in TICKS
    }
