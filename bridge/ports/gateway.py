"""The doorbell: how a process says that a row is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.ports.tasks import TaskName


@dataclass(frozen=True, slots=True)
class Ring:
    """Row `row_id` is due: ids only. Losing it costs time, never work."""

    task: TaskName
    queue: str
    workspace_id: str
    row_id: str


class TaskGateway(Protocol):
    """Rings go out by themselves, after the caller has gone on."""

    def ring(self, rings: Sequence[Ring]) -> None:
        """Take these rings; never waits, never raises. What cannot be sent is the keeper's."""
        ...
