"""The services of this host: agents bound to a preset of it that says where they are told.

Rules of this file:

- What holds a service's session is that preset and binding both stand. Every few seconds they are looked at; a worker
  that was started anew goes on with what its forerunner held.
- A terminal, or a run, that is in the agent's seat stays there; the service takes the seat again when it is gone.
- A service that said it is gone is let go, and tried again when its binding, or a preset of this host, has changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

import structlog

from bridge.adapters.presets.catalogue import Catalogue
from bridge.adapters.presets.webhook import WebhookData
from bridge.adapters.runtimes.webhook import SAID_GONE, Service, Services
from bridge.bootstrap import Container
from bridge.commands.attach_service import attach_service
from bridge.commands.detach_session import detach_session
from bridge.commands.report_service_gone import report_service_gone
from bridge.core.errors import Conflict
from bridge.core.host import BoundService
from bridge.core.states import Rung
from bridge.ports.runtime import Handed, Line, Probed, Runtime, SessionRef, Waits

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 3.0
LOOK_S_MAX = 0.5

Agent = tuple[str, str]


class Webhooks:
    """Keeps the sessions of this host's services attached, and lets go of those that are no longer to be."""

    def __init__(
        self,
        container: Container,
        host: str,
        catalogue: Catalogue,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._container, self._host, self._clock = container, host, clock
        self._catalogue = catalogue
        self._looked_at: float | None = None
        self._gone: dict[Agent, WebhookData] = {}
        self.services = Services()

    def presets(self) -> dict[str, list[str]]:
        """The presets that tell a service, as a host's list shows them."""
        return {name: [Rung.LIVE.value] for name in self._catalogue.webhooks()}

    def look(self, *, now: bool = False) -> None:
        """Attach whom presets and bindings name, and detach whom they name no longer; not at every call."""
        if not now and self._looked_at is not None and self._clock() - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = self._clock()
        presets = self._catalogue.webhooks()
        bound = {
            (found.workspace_id, found.agent_id): found
            for found in self._container.services.bound(self._host, list(presets))
        }
        self._let_go(bound)
        self._gone = {
            agent: data
            for agent, data in self._gone.items()
            if agent in bound and presets[bound[agent].preset] is data
        }
        held = {_agent(service): service for service in self.services.all()}
        for agent, found in bound.items():
            if self._clock() - self._looked_at > LOOK_S_MAX:
                self._looked_at = None  # the host's term comes first: go on at the next step
                return
            if agent not in self._gone:
                self._try_to_keep(held.get(agent), found, presets[found.preset])

    def _let_go(self, bound: Mapping[Agent, BoundService]) -> None:
        for service in self.services.all():
            found = bound.get(_agent(service))
            if service.gone:
                self._end(service, SAID_GONE)
                self._gone[_agent(service)] = service.data
                session = service.session
                report_service_gone(
                    self._container.deps, session.workspace_id, session.agent_id, service.preset
                )
            elif found is None:
                self._end(service, "its agent is no longer bound to this service")

    def _end(self, service: Service, why: str) -> None:
        session = service.session
        detach_session(self._container.deps, session.workspace_id, session.session_id, service.term, why)
        self.services.let_go(service)
        log.info("service.detached", agent_id=session.agent_id, preset=service.preset, why=why)

    def _try_to_keep(self, service: Service | None, found: BoundService, data: WebhookData) -> None:
        try:
            self._keep(service, found, data)
        except Conflict as error:  # somebody holds its rows: the others need not wait
            log.info("service.busy", agent_id=found.agent_id, why=error.detail)

    def _keep(self, service: Service | None, found: BoundService, data: WebhookData) -> None:
        """Hold it; what a forerunner attached is taken as it stands."""
        if found.taken:
            return
        session_id, term = found.session_id, found.term
        if not found.seated or (service is not None and service.preset != found.preset):
            attached = attach_service(self._container.deps, found, host=self._host, pid=os.getpid())
            if attached is None:  # a terminal was faster, or an operator
                return
            session_id, term = attached
            log.info("service.attached", agent_id=found.agent_id, preset=found.preset, term=term)
        if session_id is not None and (service is None or service.term != term or service.data is not data):
            session = SessionRef(found.workspace_id, found.agent_id, session_id)
            self.services.hold(Service(session, found.preset, data, term))


class Runtimes:
    """The Runtime over all kinds: a terminal that is connected here comes first, then the service."""

    def __init__(
        self, terminals: Runtime, services: Runtime, is_terminal: Callable[[SessionRef], bool]
    ) -> None:
        self._terminals, self._services, self._is_terminal = terminals, services, is_terminal

    def probe(self, session: SessionRef, *, quiet_s: float, force: bool = False) -> Probed:
        """As the session's own runtime says."""
        return self._of(session).probe(session, quiet_s=quiet_s, force=force)

    def hand_over(self, session: SessionRef, line: Line) -> Handed:
        """By the session's own runtime."""
        return self._of(session).hand_over(session, line)

    def tell(self, session: SessionRef, waits: Waits) -> None:
        """Where there is a terminal; a service has nobody to tell."""
        if self._is_terminal(session):
            self._terminals.tell(session, waits)

    def _of(self, session: SessionRef) -> Runtime:
        return self._terminals if self._is_terminal(session) else self._services


def _agent(service: Service) -> Agent:
    return service.session.workspace_id, service.session.agent_id
