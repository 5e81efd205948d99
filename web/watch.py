"""What nobody should try, noticed: counted each time, stored at most once a minute for an agent and kind."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

import structlog

from bridge.adapters.metrics import security_events
from bridge.adapters.timing import stopwatch
from bridge.bootstrap import Deps
from bridge.commands.record_security_event import record_security_event
from bridge.core.caller import Caller
from bridge.core.errors import BridgeError

log = structlog.get_logger("web")
QUIET_S = 60.0
KNOWN_MAX = 10_000


class SecurityWatch:
    """The memory of one process of what it stored lately."""

    def __init__(self) -> None:
        self._passed_s = stopwatch()
        self._lock = threading.Lock()
        self._last: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def note(
        self, deps: Deps, caller: Caller, kind: str, route: str, facts: Mapping[str, object] | None = None
    ) -> None:
        """An authenticated caller was refused something that an honest one does not ask for. Never raises."""
        security_events.labels(kind, "low").inc()
        if not self._is_news((caller.workspace_id, caller.agent_id, kind)):
            return
        try:
            record_security_event(deps, caller, kind, route, facts)
        except BridgeError as error:
            log.warning("security_event.not_stored", kind=kind, why=error.detail)

    def _is_news(self, what: tuple[str, str, str]) -> bool:
        now = self._passed_s()
        with self._lock:
            if now - self._last.get(what, float("-inf")) < QUIET_S:
                return False
            self._last[what] = now
            self._last.move_to_end(what)
            while len(self._last) > KNOWN_MAX:
                self._last.popitem(last=False)
            return True
