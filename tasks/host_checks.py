"""What must be right before a host's worker starts, however it is started.

A database that does not answer is let be, as for every worker: the host's term cannot be taken without it.
"""

from __future__ import annotations

from typing import NoReturn

import structlog

from bridge.adapters.machine import machine
from bridge.adapters.runtimes.agent_user import open_to_agents
from bridge.core.errors import BridgeError, InvalidArgument
from bridge.queries.host_start import why_not_start
from tasks.base import Scope

log = structlog.get_logger(__name__)


def refuse_host(scope: Scope) -> bool:
    """Raise SystemExit, with one line that says why, where this host's worker must not start.

    False when the database could not be asked: ask again before the term is taken.
    """
    host = scope.settings.host_name
    try:
        open_to_agents(scope.settings)
    except InvalidArgument as error:
        _refuse(host, error.detail)
    try:
        why = why_not_start(scope.container.deps, host, machine(scope.settings))
    except BridgeError as error:
        log.warning("database.silent", why=error.detail)
        return False
    if why is not None:
        _refuse(host, why)
    return True


def _refuse(host: str, why: str | None) -> NoReturn:
    log.critical("host.refused", host=host, why=why)
    raise SystemExit(f"the host {host} does not start: {why}")


__all__ = ["machine", "refuse_host"]
