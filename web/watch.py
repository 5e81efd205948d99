"""What nobody should try, noticed: a decision trace and a count each time, a row of the audit at most once a minute.

Rules of this file:

- A denial is one line, `policy.denied`: the rule, what it was asked of, who asked, what came of it. Never a body.
- It is audited where the caller is known, once for an agent, kind and minute; the row counts those left out before it.
- Who has no valid token is counted and logged, and leaves nothing in the database.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from bridge.adapters.metrics import security_events
from bridge.adapters.timing import stopwatch
from bridge.bootstrap import Deps
from bridge.commands.record_security_event import record_security_event
from bridge.core.authority import AUTHORITY, Action, Grant
from bridge.core.caller import Caller
from bridge.core.errors import BridgeError, Forbidden, SecretFound
from bridge.core.names import NAME_PATTERN, fits

log = structlog.get_logger("web")
QUIET_S = 60.0
KNOWN_MAX = 10_000
SEVERITY = {"claim_mismatch": "medium", "token_revoked": "medium", "out_of_scope_workspace": "medium"}
"""Of what does not happen by mistake; all else is low."""


class Asked(Protocol):
    """The route, as far as a decision names it."""

    @property
    def method(self) -> str:
        """GET, POST, ..."""
        ...

    @property
    def path(self) -> str:
        """The template."""
        ...

    @property
    def action(self) -> Action:
        """What it takes, unless the command asked for another one."""
        ...


@dataclass
class _Told:
    """When this process last asked for a row, and how many it has left out since."""

    at: float = float("-inf")
    left_out: int = 0


class SecurityWatch:
    """The memory of one process of what it stored lately."""

    def __init__(self, passed_s: Callable[[], float] | None = None) -> None:
        self._passed_s = passed_s or stopwatch()
        self._lock = threading.Lock()
        self._told: OrderedDict[tuple[str, str, str], _Told] = OrderedDict()

    def stranger(self, error: BridgeError, template: str) -> None:
        """Somebody without a valid token was refused."""
        kind = error.code.lower()
        self._count(kind)
        log.warning("token.refused", result=error.code, route=template)

    def denied(
        self, deps: Deps, caller: Caller, route: Asked, path: Mapping[str, str], error: BridgeError
    ) -> None:
        """An authenticated caller was refused what it may not do, or asked for what is not there. Never raises."""
        kind = error.code.lower()
        trace = _trace(caller, route, path, error)
        self._count(kind)
        log.warning("policy.denied", **trace)
        self._audit(deps, caller, kind, trace)

    def secret(self, deps: Deps, caller: Caller, route: Asked, error: SecretFound) -> None:
        """What an agent wrote was refused for a secret in it: the facts say where and of what kind. Never raises."""
        self._count("secret_refused")
        said = {"route": f"{route.method} {route.path}", "session_id": caller.session_id, "jti": caller.jti}
        self._audit(deps, caller, "secret_refused", said | error.facts)

    def _audit(self, deps: Deps, caller: Caller, kind: str, facts: Mapping[str, Any]) -> None:
        told = self._due((caller.workspace_id, caller.agent_id, kind))
        if told is None:
            return
        left_out = told.left_out
        try:
            stored = record_security_event(
                deps, caller, kind, {**facts, "left_out": left_out}, quiet_s=QUIET_S
            )
        except BridgeError as unavailable:
            stored = False
            log.warning("security_event.not_stored", kind=kind, why=unavailable.detail)
        with self._lock:
            told.left_out += -left_out if stored else 1

    def _count(self, kind: str) -> None:
        security_events.labels(kind, SEVERITY.get(kind, "low")).inc()

    def _due(self, what: tuple[str, str, str]) -> _Told | None:
        """The memory of this, when a row is due; None: it was left out, and counted."""
        now = self._passed_s()
        with self._lock:
            told = self._told.setdefault(what, _Told())
            if now - told.at < QUIET_S:
                told.left_out += 1
                return None
            told.at = now
            self._told.move_to_end(what)
            while len(self._told) > KNOWN_MAX:
                self._told.popitem(last=False)
            return told


def _trace(caller: Caller, route: Asked, path: Mapping[str, str], error: BridgeError) -> dict[str, Any]:
    """The decision: what the command's own check said of it, else the route's rule."""
    said = error.facts
    action = str(said.get("action", route.action.name))
    grant = AUTHORITY[Action[action], caller.role]
    is_strangers = grant is Grant.OWN and isinstance(error, Forbidden)
    return {
        "result": error.code,
        "action": action,
        "role": caller.role.value,
        "grant": grant.value,
        "own": said.get("own", False if is_strangers else None),
        "route": f"{route.method} {route.path}",
        "ids": {name: value for name, value in path.items() if fits(NAME_PATTERN, value)},
        "agent_id": caller.agent_id,
        "workspace_id": caller.workspace_id,
        "session_id": caller.session_id,
        "jti": caller.jti,
        "request_id": caller.request_id,
    }
