"""Fresh tokens for runs, at half the life of the one before.

Rules of this file:

- It has its own thread: getting a token may take long, and nothing else waits for it.
- A token that could not be got is asked for again, as long as the run lives; the old one stays until then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog

from bridge.adapters.runtimes.run_files import RunFiles
from bridge.adapters.runtimes.run_held import Held
from bridge.core.claims import unchecked_claims
from bridge.core.errors import BridgeError
from bridge.ports.runs import Credentials

LIFE_S: Final = 900.0  # of a token that does not say
AGAIN_S: Final = 15.0
LOOK_S: Final = 5.0

log = structlog.get_logger(__name__)


def half_life(token: str) -> float:
    """Half of the seconds that a token says it lives."""
    try:
        claims = unchecked_claims(token)
        life = float(claims["exp"]) - float(claims["iat"])
    except (ValueError, KeyError, TypeError):
        life = LIFE_S
    return min(max(life, 2.0), LIFE_S) / 2


class TokenKeeper:
    """Keeps the token files of runs fresh."""

    def __init__(
        self,
        credentials: Credentials,
        files: RunFiles,
        clock: Callable[[], float],
        runs: Callable[[], list[Held]],
        lock: threading.RLock,
    ) -> None:
        """`runs` are those that are held now."""
        self._credentials, self._files, self._clock, self._runs = credentials, files, clock, runs
        self._lock = lock
        self._news = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="runs-tokens", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; an answer that is on its way is not waited for."""
        self._stopped = True
        self._news.set()

    def look(self) -> None:
        """There is a new run."""
        self._news.set()

    def _work(self) -> None:
        while not self._stopped:
            next_at = min((held.token_at for held in self._runs() if not held.over), default=float("inf"))
            self._news.wait(min(max(next_at - self._clock(), 0.05), LOOK_S))
            self._news.clear()
            for held in self._runs():
                if not held.over and held.token_at <= self._clock() and not self._stopped:
                    self._refresh(held)

    def _refresh(self, held: Held) -> None:
        spec = held.spec
        try:
            token = self._credentials.issue(spec.workspace_id, spec.agent_id, spec.session_id)
            with self._lock:
                if not held.over:
                    self._files.write_token(held.place, token)
            held.token_at = self._clock() + half_life(token)
        except (BridgeError, OSError) as error:
            held.token_at = self._clock() + AGAIN_S
            log.warning("run.token_not_refreshed", run_id=spec.run_id, why=str(error))
        except Exception:  # a run must not lose its token for another one's trouble
            held.token_at = self._clock() + AGAIN_S
            log.exception("run.token_not_refreshed", run_id=spec.run_id)
