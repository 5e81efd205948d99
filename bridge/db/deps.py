"""What every command and query is handed: the database, ids, the doorbell, the policy in force."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bridge.config import Settings
from bridge.core.caller import Caller
from bridge.core.errors import Conflict, Unavailable
from bridge.db.gate import ThreadGate
from bridge.db.uow import Database, UnitOfWork
from bridge.db.wake_record import rouse
from bridge.ports.content import NoSecrets, SecretFinder
from bridge.ports.figures import Figures, Uncounted
from bridge.ports.gateway import Ring, TaskGateway
from bridge.ports.ids import IdSource
from bridge.ports.policies import PolicySource


@dataclass(frozen=True)
class Deps:
    """Built once a process by `bridge.bootstrap`; the first argument of every command and query."""

    db: Database
    ids: IdSource
    gateway: TaskGateway
    policies: PolicySource
    settings: Settings
    gate: ThreadGate = field(default_factory=ThreadGate)
    figures: Figures = field(default_factory=Uncounted)
    secrets: SecretFinder = field(default_factory=NoSecrets)

    @contextmanager
    def unit(
        self, workspace_id: str, caller: Caller | None = None, actor: str = "bridge"
    ) -> Iterator[UnitOfWork]:
        """A unit of work whose rings go out, and whose figures count, after its commit and only then."""
        with self.db.unit(workspace_id, caller, actor) as uow:
            yield uow
        if uow.noted:
            self.figures.note(uow.noted)
        rings = list(uow.rings)
        for agent_id in sorted(uow.roused):
            rings += self._rouse(workspace_id, agent_id, alive=False)
        if rings:
            self.gateway.ring(rings)

    def sign_of_life(self, workspace_id: str, agent_id: str) -> None:
        """The agent did something, and that is committed: its wakes look again. Never fails the call that says so."""
        rings = self._rouse(workspace_id, agent_id, alive=True)
        if rings:
            self.gateway.ring(rings)

    def _rouse(self, workspace_id: str, agent_id: str, *, alive: bool) -> list[Ring]:
        """The agent's next wake need not wait for its recheck. Losing this costs only time."""
        try:
            policy = self.policies.current(workspace_id)
            with self.db.unit(workspace_id) as uow:
                rouse(uow, self.ids, policy, agent_id, alive=alive)
        except (Conflict, Unavailable):
            return []
        return uow.rings
