"""A host's worker that is told to stop: what it has started may end by itself, for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from bridge.core.errors import BridgeError

log = structlog.get_logger(__name__)

LOOK_S = 0.2
RENEW_S = 1.0


def let_runs_end(
    held: Callable[[], set[str]],
    bound_s: float,
    renew: Callable[[], object],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Wait until no run is left, for `bound_s` at most; whether that was so. The host is held, by `renew`, meanwhile.

    The caller has seen to it that nothing new is started.
    """
    ends = clock() + bound_s
    renew_at = clock() + RENEW_S
    pause = threading.Event()
    while left := held():
        now = clock()
        if now >= ends:
            log.warning("host.runs_cut_short", runs=sorted(left), after_s=bound_s)
            return False
        if now >= renew_at:
            renew_at = now + RENEW_S
            try:
                renew()
            except BridgeError as error:  # the runs end themselves when that lasts
                log.warning("host.blind", why=error.detail)
        pause.wait(min(LOOK_S, ends - now))
    return True
