"""A host's own token, and the tokens that it has made for the runs it starts.

Rules of this file:

- The host's token is in a file: whoever writes another one there is believed at the next call. It is renewed at half of
  its life and written back as a whole, for this user alone.
- The clock is the wall's: how old a token in a file is, only the token says.
- No token is ever in a log, an error or an argument.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import structlog

from bridge.adapters.tokens import wall_clock
from bridge.config import Settings
from bridge.core.claims import unchecked_claims
from bridge.core.errors import Forbidden, InvalidArgument, Unavailable
from bridge.core.host import RUN_TOKEN_LIFE_S_MAX

log = structlog.get_logger(__name__)

TIMEOUT = httpx.Timeout(connect=1.0, read=2.0, write=1.0, pool=1.0)
"""Three seconds in all: a wake's lease runs meanwhile."""
RENEW_SHARE = 0.5
RETRY_S = 5.0
LOOK_S = 5.0
REFUSED = frozenset({httpx.codes.FORBIDDEN, httpx.codes.BAD_REQUEST})
"""What asking again would not change."""
JOIN_S = 4.0


class HostCredentials:
    """The Credentials of a host's worker. Opens nothing until it is first used; every method from any thread."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = wall_clock) -> None:
        if settings.token_file is None:
            raise InvalidArgument("this host has no token: set BRIDGE_TOKEN_FILE", path="token_file")
        if settings.url is None:
            raise InvalidArgument("this host does not know where the bridge is: set BRIDGE_URL", path="url")
        self._file, self._url, self._clock = settings.token_file, settings.url.rstrip("/"), clock
        self._http = httpx.Client(base_url=self._url, timeout=TIMEOUT)
        self._lock = threading.Lock()
        self._read: str | None = None
        self._token = ""
        self._asked_at = float("-inf")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def issue(self, workspace_id: str, agent_id: str, session_id: str) -> str:
        """A token for a run's agent, of 15 min at most. Raises Unavailable, Forbidden; in words that may be shown."""
        body = {
            "workspace_id": workspace_id,
            "agent_id": agent_id,
            "session_id": session_id,
            "role": "participant",
            "ttl_s": RUN_TOKEN_LIFE_S_MAX,
        }
        return self._post("/v1/tokens", body, self.token())

    def token(self) -> str:
        """The host's own token, renewed first where that is due and works. Raises Unavailable where there is none."""
        with self._lock:
            self._look()
            token, due = self._token, self._due()
        return self._renewed(token) if due else token

    def start(self) -> None:
        """Keep the host's own token fresh from now on, also while nothing is started here."""
        self._thread = threading.Thread(target=self._keep, name="credentials", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop renewing and give the connections back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)
        self._http.close()

    def _keep(self) -> None:
        while not self._stop.is_set():
            try:
                self.token()
            except Unavailable as error:
                log.warning("host.no_token", why=error.detail)
            self._stop.wait(LOOK_S)

    def _look(self) -> None:
        """Take what is in the file, where that is another token than at the last look."""
        try:
            found = self._file.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            if self._token:
                return  # what we have is good for a while yet
            raise Unavailable(f"this host's token cannot be read from {self._file}") from error
        if found and found != self._read:
            self._read, self._token = found, found
        if not self._token:
            raise Unavailable(f"there is no token in {self._file}")

    def _due(self) -> bool:
        """Whether this caller is to renew the token; the others go on with the one there is meanwhile."""
        now = self._clock()
        if now < _renew_at(self._token) or 0 <= now - self._asked_at < RETRY_S:
            return False
        self._asked_at = now
        return True

    def _renewed(self, old: str) -> str:
        try:
            fresh = self._post("/v1/tokens/refresh", {}, old)
        except (Unavailable, Forbidden) as error:
            log.warning("host.token_not_renewed", why=error.detail)
            return old
        with self._lock:
            self._look()
            if self._token == old:  # else somebody has put in another one meanwhile
                self._keep_token(fresh)
            return self._token

    def _keep_token(self, fresh: str) -> None:
        self._token = fresh
        try:
            replace_private(self._file, fresh + "\n")
            self._read = fresh
        except OSError as error:
            log.warning("host.token_not_kept", file=str(self._file), why=error.strerror)

    def _post(self, path: str, body: dict[str, Any], token: str) -> str:
        headers = {"Authorization": f"Bearer {token}"}
        try:
            answer = self._http.post(path, json=body, headers=headers)
        except (httpx.HTTPError, ValueError) as error:  # ValueError: a token that is no header
            why = f"the bridge at {self._url} does not answer ({type(error).__name__}): no token can be had"
            raise Unavailable(why) from None  # the cause holds the request, and with it the token
        said = _object(answer)
        if answer.is_success and isinstance(said.get("token"), str):
            return str(said["token"])
        raise _refusal(answer.status_code, said, self._file)


def replace_private(file: Path, text: str) -> None:
    """Put this into the file as a whole, for this user alone. Raises OSError."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(descriptor)
    fresh.replace(file)


def _renew_at(token: str) -> float:
    try:
        claims = unchecked_claims(token)
        issued, expires = float(claims["iat"]), float(claims["exp"])
    except (KeyError, TypeError, ValueError):
        return float("-inf")  # the bridge will say what is wrong with it
    return issued + (expires - issued) * RENEW_SHARE


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _refusal(status: int, said: dict[str, Any], file: Path) -> Unavailable | Forbidden:
    detail = str(said.get("detail") or said.get("title") or f"the bridge answered {status}")
    if status == httpx.codes.UNAUTHORIZED:
        how = "`bridge token issue --agent host:NAME --role host`"
        return Unavailable(f"the host's own token in {file} is not good: {detail}. A new one: {how}")
    if status in REFUSED:
        return Forbidden(detail)
    return Unavailable(f"no token can be had now: {detail}")
