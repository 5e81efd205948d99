"""Telling the watcher what became of runs, until it has taken it.

Rules of this file:

- It has its own thread: a watcher may be slow or out of reach, and no shim waits for it.
- Of one run everything is told in order, each thing until it is taken; another run's trouble holds up nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog

from bridge.adapters.runtimes.run_held import Held
from bridge.core.errors import BridgeError

AGAIN_S: Final = (0.1, 5.0)

log = structlog.get_logger(__name__)


class Teller:
    """Calls the tellings of runs, one at a time."""

    def __init__(
        self,
        clock: Callable[[], float],
        runs: Callable[[], list[Held]],
        done: Callable[[Held], None],
    ) -> None:
        """`done` is called with a run whose end was taken."""
        self._clock, self._runs, self._done = clock, runs, done
        self._news = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="runs-teller", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def tell(self) -> None:
        """There is something new to tell."""
        self._news.set()

    def stop(self, timeout_s: float) -> None:
        """Tell nothing more; what is being told just now is waited for."""
        self._stopped = True
        self._news.set()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while not self._stopped:
            self._news.clear()
            waiting = [held for held in self._runs() if held.tellings]
            ready = [held for held in waiting if held.tell_at <= self._clock()]
            for held in ready:
                if not self._stopped:
                    self._tell(held)
            if not ready:
                next_at = min((held.tell_at for held in waiting), default=float("inf"))
                self._news.wait(min(max(next_at - self._clock(), 0.0), AGAIN_S[1]))

    def _tell(self, held: Held) -> None:
        try:
            held.tellings[0]()
        except BridgeError as error:
            self._again(held)
            log.warning("run.not_told", run_id=held.spec.run_id, why=error.detail, times=held.untold)
        except Exception:  # told again all the same: what became of a run is never dropped
            self._again(held)
            log.exception("run.not_told", run_id=held.spec.run_id, times=held.untold)
        else:
            held.tellings.popleft()
            held.untold, held.tell_at = 0, 0.0
            if held.taken:
                self._done(held)

    def _again(self, held: Held) -> None:
        held.tell_at = self._clock() + min(AGAIN_S[0] * 2 ** min(held.untold, 10), AGAIN_S[1])
        held.untold += 1
