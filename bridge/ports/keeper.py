"""What keeping time needs from the database: which rows fall due, and that they were rung."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.core.states import WaitReason, WakeState
from bridge.ports.gateway import Ring
from bridge.ports.tasks import TIMERS, host_queue, ring_name


@dataclass(frozen=True, slots=True)
class DueRow:
    """A row that was taken: due in `due_in_s` seconds by the database's clock; below 0 it is late."""

    workspace_id: str
    wake_id: str
    host: str
    host_seen: bool
    state: WakeState
    reason: WaitReason
    accepted: bool
    due_in_s: float

    def ring(self) -> Ring:
        """The ring that tells its story: to its host, or, while that is not seen, to the timers' workers."""
        name = ring_name(self.state, self.reason, accepted=self.accepted)
        queue = host_queue(self.host) if self.host_seen else TIMERS
        return Ring(name, queue, self.workspace_id, self.wake_id)


class KeptRows(Protocol):
    """The rows across all workspaces, of which a keeper sees when they are due and no more."""

    def take_due(self) -> Sequence[DueRow]:
        """Rows that fall due soon and were not rung; nobody else gets them until a second past their time."""
        ...

    def take_overdue(self, host: str | None, limit: int) -> Sequence[DueRow]:
        """Rows due for more than a second that nobody has rung: of this host, or (None) of hosts not seen."""
        ...

    def confirm(self, wake_ids: Sequence[str]) -> None:
        """The broker has these rings."""
        ...

    def clear(self, wake_ids: Sequence[str]) -> None:
        """The broker has not these rings."""
        ...
