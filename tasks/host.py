"""What a host's worker does besides its tasks: the host's term, its socket, and who is on it.

Rules of this file:

- It lives in threads of its own: neither the broker's connection nor the pool can hold it up.
- One worker a host: whoever holds the socket's lock file. Another waits, and takes over when it is free.
- What holds the host also holds its runs: it renews what lets them live, and ends what is to end.
- A session is attached when its wrapper registered here, and detached the moment its connection ends. Sessions of a
  worker that was killed have a few seconds to register with the next; then they are detached.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog
from celery import bootsteps

from bridge.adapters.host_credentials import HostCredentials
from bridge.adapters.machine import code_version
from bridge.adapters.presets.catalogue import Catalogue
from bridge.adapters.runtimes.agent_user import agent_user
from bridge.adapters.runtimes.command import RunBook
from bridge.adapters.runtimes.orphans import sessions_by_hand
from bridge.adapters.runtimes.pty import PtyServer
from bridge.adapters.runtimes.pty_runtime import PtyRuntime
from bridge.adapters.runtimes.webhook import WebhookRuntime
from bridge.commands.detach_session import detach_session
from bridge.core.errors import BridgeError, InvalidArgument
from bridge.ports.hosts import HeldSession
from bridge.ports.runtime import SessionRef
from bridge.ports.tasks import host_queue
from tasks.base import Scope, Starter, scope_of
from tasks.claim_canary import ask_canaries
from tasks.deliver_wake import crash_point
from tasks.host_checks import machine, refuse_host
from tasks.host_drain import let_runs_end
from tasks.host_registrar import HostRegistrar
from tasks.host_runs import RunKeeping, RunReports
from tasks.host_webhooks import Runtimes, Webhooks

log = structlog.get_logger(__name__)

SEE_EVERY_S = 1.0
RETURN_S = 4.0
"""Sessions that are not here at two looks, so far apart, have not come back."""
STOP_S = 8.0
RUNS_GRACE_S = 3.0


class _Starts(NamedTuple):
    """What starts processes here."""

    runs: RunBook
    keeping: RunKeeping
    credentials: HostCredentials

    @classmethod
    def of(cls, scope: Scope, host: str) -> _Starts | None:
        """None on a host without a token of its own: sessions are woken there, and nothing is started."""
        try:
            credentials = HostCredentials(scope.settings)
        except InvalidArgument as error:
            log.warning("host.starts_nothing", why=error.detail)
            return None
        reports = RunReports(scope.container, scope.settings.presets_dir, scope.worker)
        runs = RunBook(scope.settings, reports, credentials)
        credentials.start()
        return cls(runs, RunKeeping(scope.container, runs, reports, host, scope.worker), credentials)


class Host:
    """This host: its term, its socket, its runs, and the reconciling of what the database believes with who is here."""

    def __init__(self, scope: Scope) -> None:
        self._scope, self._container = scope, scope.container
        self._name = scope.settings.host_name
        self._holder = f"{machine(scope.settings)}/{scope.worker}"
        registrar = HostRegistrar(self._container, self._name, scope.settings.presets_dir)
        self.server = PtyServer(scope.settings.host_socket, registrar, agents=agent_user(scope.settings))
        self._starts = _Starts.of(scope, self._name)
        catalogue = self._starts.runs.catalogue if self._starts else Catalogue(scope.settings.presets_dir)
        self.webhooks = Webhooks(self._container, self._name, catalogue)
        self.runtime = self._runtime(lambda: crash_point(scope.settings, "mid_typing"))
        self._ours = False
        self._missing: set[HeldSession] = set()
        self._strays: set[tuple[str, str]] = set()
        self._since = time.monotonic()

    def _runtime(self, touching: Callable[[], None]) -> Runtimes:
        terminals = PtyRuntime(self.server, typing=touching)
        services = WebhookRuntime(self.webhooks.services, posting=touching)
        return Runtimes(terminals, services, lambda session: self.server.link(session) is not None)

    def step(self) -> None:
        """Take or renew the term; look after tokens, services, and sessions that did not come back."""
        if not self._ours:
            if not self.server.open():
                return
            self._ours, self._since = True, time.monotonic()
        if not self._look_after_runs():
            return
        self.server.check_tokens()
        self.webhooks.look()
        if time.monotonic() - self._since > RETURN_S:
            self._since = time.monotonic()
            self._reconcile()

    def _look_after_runs(self) -> bool:
        """Whether the host is ours, still; then its runs are renewed, and what is to end is ended."""
        seen = self._see()
        if seen and self._starts:
            self._starts.keeping.look()
        return seen

    def _see(self) -> bool:
        began = time.monotonic()
        presets = self.webhooks.presets() | (self._starts.runs.presets() if self._starts else {})
        term = self._container.hosts.see(self._name, self._holder, code_version(), presets)
        if term is None:
            self._scope.runtime = self._scope.starter = None
            log.error("host.held_elsewhere", host=self._name)
            return False
        if self._starts:
            self._starts.keeping.renewed(time.monotonic() - began)
        if self._scope.runtime is None:
            self._take(term)
        return True

    def _take(self, term: int) -> None:
        self._container.hosts.open_slots(self._name)
        self._scope.runtime = self.runtime
        self._scope.starter = self._starts and Starter(self._starts.runs, self._starts.credentials)
        log.info("host.taken", host=self._name, term=term)
        ask_canaries(self._container, self._name)

    def close(self) -> None:
        """End the runs and hang up; the wrappers dial again, and find the next worker."""
        self._scope.starter = None
        if self._starts:
            let_runs_end(self._starts.runs.held, self._scope.settings.drain_s, self._look_after_runs)
            self._starts.runs.close(RUNS_GRACE_S)
            self._starts.credentials.close()
        self.server.close()

    def _reconcile(self) -> None:
        """What the database believes, and who is here: only a difference that two looks saw is one."""
        believed = set(self._container.hosts.sessions_of(self._name))
        here = self.server.held() | self.webhooks.services.held()
        missing = {held for held in believed if (held.workspace_id, held.session_id) not in here}
        gone = missing & self._missing
        by_hand = sessions_by_hand() if gone else set()
        for held in gone:
            if (held.workspace_id, held.session_id) in by_hand:
                continue  # its terminal lives, and only does not answer: nothing is started beside it
            why = "its terminal did not come back"
            detach_session(self._container.deps, held.workspace_id, held.session_id, held.term, why)
        strays = here - {(held.workspace_id, held.session_id) for held in believed}
        for workspace_id, session_id in strays & self._strays:
            # Detached while this host was not seen: its wrapper dials again, and is attached under a new term.
            link = self.server.link(SessionRef(workspace_id, "", session_id))
            if link is not None:
                link.hang_up()
        self._missing, self._strays = missing, strays


class HostStep(bootsteps.StartStopStep):
    """The host as a step of the worker that consumes its queue; of no other."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:  # noqa: ANN401  Celery's signature
        super().__init__(worker, **kwargs)
        self._stop, self._stop_s = threading.Event(), STOP_S
        self._thread: threading.Thread | None = None

    def include_if(self, worker: Any) -> bool:  # noqa: ANN401  Celery's signature
        """Only where the host's own queue is consumed."""
        scope = scope_of(worker.app)
        return host_queue(scope.settings.host_name) in worker.app.amqp.queues.consume_from

    def start(self, worker: Any) -> None:  # noqa: ANN401  Celery's signature
        """Begin to hold the host."""
        scope = scope_of(worker.app)
        scope.process = "host"
        checked = refuse_host(scope)
        self._stop_s = scope.settings.drain_s + STOP_S
        self._thread = threading.Thread(target=self._hold, args=(scope, checked), name="host", daemon=True)
        self._thread.start()

    def stop(self, worker: Any) -> None:  # noqa: ANN401  Celery's signature
        """Let the host go."""
        del worker
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._stop_s)

    terminate = stop

    def _hold(self, scope: Scope, checked: bool) -> None:  # noqa: FBT001  what `start` found
        host = Host(scope)
        while True:
            try:
                checked = checked or refuse_host(scope)  # a database that was silent is asked again
                if checked:
                    host.step()
            except SystemExit:
                os.kill(os.getpid(), signal.SIGTERM)
                break
            except BridgeError as error:
                log.warning("host.blind", why=error.detail)
            except Exception:  # without this thread the host is not seen, and nothing on it is woken
                log.exception("host.blind")
            if self._stop.wait(SEE_EVERY_S):
                break
        host.close()
