"""The runtime `webhook`: an agent that is a service is told by one signed POST that something waits for it.

Rules of this file:

- What is sent points, as a typed line does: how much waits and for whom, no word of anybody's. The service reads
  by HTTP.
- `webhook-id` is the line's key, the same over retries. A repeat is safe therefore, and is made even where a terminal
  must not be typed into again (`may_type`): whoever got it before knows the id.
- 2xx, within the deadline, is the only yes. A redirect is not followed. 410 ends it, until an operator changes the
  agent's binding, or a preset of this host changes.
- Asked to wait (429, 503 with Retry-After), we wait; but only so long, and only so many times for one wake.
- Nothing of an answer but its status and Retry-After is looked at, and no word of it is passed on.
"""

from __future__ import annotations

import functools
import json
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpcore
import structlog

from bridge.adapters.machine import code_version
from bridge.adapters.presets.webhook import PORTS, WebhookData
from bridge.adapters.runtimes.webhook_sign import SecretError, headers, read_secrets
from bridge.adapters.runtimes.webhook_way import AddressRefusedError, CheckedWay, Deadline, Resolve, look_up
from bridge.adapters.tokens import wall_clock
from bridge.core.states import Evidence, WaitReason
from bridge.ports.runtime import Handed, Line, Probed, SessionRef, Waits

log = structlog.get_logger(__name__)

IN_FLIGHT_MAX: Final = 8
"""To one service at a time: one that hangs must not keep all hands of this host."""
TURN_S: Final = 1.0
RETRY_AFTER_S_MAX: Final = 60.0
WAITS_MAX: Final = 5
KEYS_KEPT: Final = 4096
OK, AFTER_OK, GONE = 200, 300, 410
ASKS_TO_WAIT: Final = frozenset({429, 503})
NOT_HERE: Final = "its service is not held here"
SAID_GONE: Final = "its service says that it is gone (HTTP 410)"


@dataclass(eq=False)
class Service:
    """One agent's service, held here under a term. `gone`: it said so."""

    session: SessionRef
    preset: str
    data: WebhookData
    term: int
    gone: bool = False


@dataclass
class _Place:
    """What is known of one URL."""

    turns: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(IN_FLIGHT_MAX))
    not_before: float = 0.0


class Services:
    """The services that this host holds, and how they are."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Service] = {}
        self._places: dict[WebhookData, _Place] = {}
        self._waits: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def hold(self, service: Service) -> None:
        """Hold it from now on."""
        with self._lock:
            self._held[service.session.workspace_id, service.session.session_id] = service

    def let_go(self, service: Service) -> None:
        """Hold it no longer."""
        key = (service.session.workspace_id, service.session.session_id)
        with self._lock:
            if self._held.get(key) is service:
                del self._held[key]
            used = {held.data for held in self._held.values()}
            self._places = {data: place for data, place in self._places.items() if data in used}

    def find(self, session: SessionRef) -> Service | None:
        """The service that is this session, None when it is not held."""
        with self._lock:
            return self._held.get((session.workspace_id, session.session_id))

    def all(self) -> list[Service]:
        """Those that are held now."""
        with self._lock:
            return list(self._held.values())

    def held(self) -> set[tuple[str, str]]:
        """Workspace and session of all that are held now."""
        with self._lock:
            return set(self._held)

    def place(self, data: WebhookData) -> _Place:
        """What is known of where it is."""
        with self._lock:
            return self._places.setdefault(data, _Place())

    def may_wait(self, key: str) -> bool:
        """Count that this wake was asked to wait; False when it has waited often enough."""
        with self._lock:
            self._waits[key] = self._waits.pop(key, 0) + 1
            if len(self._waits) > KEYS_KEPT:
                self._waits.popitem(last=False)
            return self._waits[key] <= WAITS_MAX


class WebhookRuntime:
    """The Runtime over the services that are held. `clock` is monotonic; `wall` says what a signature counts by."""

    def __init__(
        self,
        services: Services,
        *,
        resolve: Resolve = look_up,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = wall_clock,
        posting: Callable[[], None] = lambda: None,
    ) -> None:
        self._services, self._resolve = services, resolve
        self._clock, self._wall, self._posting = clock, wall, posting

    def probe(self, session: SessionRef, *, quiet_s: float, force: bool = False) -> Probed:
        """Whether it may be told now: nobody is disturbed, but it may have asked to be left alone for a while."""
        del quiet_s, force
        service = self._services.find(session)
        if service is None or service.gone:
            why = SAID_GONE if service else NOT_HERE
            return Probed(free=False, reason=WaitReason.SEAT, why=why, here=False)
        left_s = self._services.place(service.data).not_before - self._clock()
        if left_s > 0:
            why = f"its service asked to wait, {left_s:.0f} s more"
            return Probed(free=False, reason=WaitReason.BUSY, why=why)
        try:
            read_secrets(service.data.secret_file)
        except SecretError as error:
            log.warning("webhook.no_secret", preset=service.preset, why=str(error))
            why = "its secret cannot be used: the host's log says why"
            return Probed(free=False, reason=WaitReason.HOST, why=why)
        return Probed(free=True)

    def hand_over(self, session: SessionRef, line: Line) -> Handed:
        """POST it. `line.may_type` is no matter: its id tells a repeat, and a service that lost the first gets it."""
        service = self._services.find(session)
        if service is None or service.gone:
            return Handed(Evidence.GONE, WaitReason.SEAT, SAID_GONE if service else NOT_HERE)
        deadline = Deadline(min(line.deadline_s, service.data.timeout_s), self._clock)
        turns = self._services.place(service.data).turns
        if not turns.acquire(timeout=min(TURN_S, line.deadline_s / 4)):
            return Handed(Evidence.NOT_TOUCHED, WaitReason.SLOT, "its service has many others to answer now")
        try:
            return self._post(service, line, deadline)
        finally:
            turns.release()

    def tell(self, session: SessionRef, waits: Waits) -> None:
        """A service has nobody who would look."""

    def _post(self, service: Service, line: Line, deadline: Deadline) -> Handed:
        data = service.data
        way = CheckedWay(
            data.allow,
            deadline,
            encrypted=data.scheme == "https",
            resolve=self._resolve,
            on_send=self._posting,
        )
        try:
            request = self._request(service, line)
            with (
                httpcore.ConnectionPool(
                    _trust(data.ca_file, _changed(data.ca_file)),
                    max_keepalive_connections=0,
                    network_backend=way,
                ) as pool,
                pool.stream(
                    "POST", _url(data), headers=list(request[0].items()), content=request[1]
                ) as answer,
            ):
                return self._judge(service, line, answer)
        except SecretError as error:
            log.warning("webhook.no_secret", preset=service.preset, why=str(error))
            why = "its secret cannot be used: the host's log says why"
            return Handed(Evidence.NOT_TOUCHED, WaitReason.HOST, why)
        except AddressRefusedError as error:
            why = str(error)
        except httpcore.TimeoutException:
            why = "its service did not answer in time" if way.sent else "its service was not reached in time"
        except httpcore.ProtocolError:
            why = "what its service answered is no HTTP"
        except (httpcore.NetworkError, OSError, ValueError) as error:
            log.info("webhook.failed", preset=service.preset, place=data.place, error=repr(error))
            why = "its service hung up" if way.sent else "its service cannot be reached"
        return _failed(service, why)

    def _request(self, service: Service, line: Line) -> tuple[dict[str, str], bytes]:
        now = int(self._wall())
        body = json.dumps(
            {
                "type": "wakebridge.wake",
                "timestamp": datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z"),
                "data": {
                    "wake_id": line.key,
                    "agent_id": service.session.agent_id,
                    "workspace_id": service.session.workspace_id,
                    "unread": line.unread,
                    "threads": line.threads,
                },
            },
            separators=(",", ":"),
        ).encode()
        signed = headers(read_secrets(service.data.secret_file), line.key, now, body)
        said = {
            "Host": _authority(service.data),
            "Content-Type": "application/json",
            "User-Agent": f"wakebridge/{code_version()}",
            "Connection": "close",
        }
        return signed | said, body

    def _judge(self, service: Service, line: Line, answer: httpcore.Response) -> Handed:
        status = answer.status
        if OK <= status < AFTER_OK:
            return Handed(Evidence.ACCEPTED, by="http")
        if status == GONE:
            service.gone = True
            return Handed(Evidence.GONE, WaitReason.SEAT, SAID_GONE)
        wait_s = _retry_after(answer, self._wall()) if status in ASKS_TO_WAIT else None
        if wait_s is None:
            return _failed(service, f"its service answered HTTP {status}")
        self._services.place(service.data).not_before = self._clock() + wait_s
        if not self._services.may_wait(line.key):
            return _failed(service, f"its service answered HTTP {status}, and asked to wait once more")
        why = f"its service asked to wait {wait_s:.0f} s (HTTP {status})"
        return Handed(Evidence.NOT_TOUCHED, WaitReason.BUSY, why)


def _failed(service: Service, why: str) -> Handed:
    """It burns a try, whether or not a byte left: what cannot be reached is to be told of, not waited for."""
    log.info("webhook.refused", preset=service.preset, place=service.data.place, why=why)
    return Handed(Evidence.UNVERIFIED, WaitReason.BUSY, why)


def _retry_after(answer: httpcore.Response, now: float) -> float | None:
    """For how long it asks to be left alone, bounded; None when it does not say."""
    said = next((value for name, value in answer.headers if name.lower() == b"retry-after"), b"")
    text = said.decode("ascii", "replace").strip()
    try:
        seconds = float(text) if text.isdigit() else parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 1.0), RETRY_AFTER_S_MAX)


def _url(data: WebhookData) -> httpcore.URL:
    """Of the parts that were checked: nobody takes it apart a second time."""
    return httpcore.URL(scheme=data.scheme, host=data.host, port=data.port, target=data.target)


def _authority(data: WebhookData) -> str:
    host = f"[{data.host}]" if ":" in data.host else data.host
    return host if data.port == PORTS[data.scheme] else f"{host}:{data.port}"


def _changed(ca_file: str | None) -> int:
    """When the file changed: what is trusted is read anew then. Raises OSError."""
    return Path(ca_file).stat().st_mtime_ns if ca_file else 0


@functools.lru_cache(maxsize=32)
def _trust(ca_file: str | None, changed: int) -> ssl.SSLContext:
    """Whom to believe: the system's authorities, or those of the file alone. Names are always verified."""
    del changed
    return ssl.create_default_context(cafile=ca_file)
