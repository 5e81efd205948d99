"""The way out of a webhook: which addresses it may go to, and for how long.

Rules of this file:

- A name is resolved once, and what was checked is what is connected to: there is no second look-up to answer otherwise.
- Every address of the answer must be global or allowed, what is inside a translated one too: one that is neither
  refuses all, for the answer is not to be trusted.
- The deadline is for all together, by our own monotonic clock: whoever answers byte by byte gains nothing.
- No proxy, no redirect, no connection that is used twice.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

import httpcore

from bridge.adapters.presets.webhook import Network

ADDRESSES_MAX: Final = 4
LOOK_UPS_MAX: Final = 16
NAT64: Final = IPv6Network("64:ff9b::/96")
_V4 = 2**32

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]


class AddressRefusedError(Exception):
    """The name leads to where nothing is sent."""


def may_go(address: Address, allow: tuple[Network, ...], *, global_too: bool = True) -> bool:
    """Whether something may be sent there. `global_too`: to global addresses that `allow` does not name."""
    if any(address in network for network in allow):
        return True
    if isinstance(address, IPv4Address):
        return global_too and _is_global(address)
    if address.ipv4_mapped is not None:
        return may_go(address.ipv4_mapped, allow, global_too=global_too)
    if address in NAT64:
        return may_go(IPv4Address(int(address) % _V4), allow, global_too=global_too)
    inside = [address.sixtofour] if address.sixtofour else list(address.teredo or ())
    return global_too and _is_global(address) and all(may_go(inner, allow) for inner in inside)


def _is_global(address: Address) -> bool:
    odd = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not odd and not (isinstance(address, IPv6Address) and address.is_site_local)


def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the system resolves it."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Deadline:
    """One moment for everything that is to be done until then."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._at = clock, clock() + seconds

    def left_s(self) -> float:
        """What is left. Raises TimeoutException when it is over."""
        left = self._at - self._clock()
        if left <= 0:
            raise httpcore.TimeoutException("its time is over")
        return left


class BoundedStream(httpcore.NetworkStream):
    """A connection whose every step ends by the one deadline. `sends` is called before bytes leave."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline, sends: Callable[[], None]) -> None:
        self._inner, self._deadline, self._sends = inner, deadline, sends

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002  one deadline for all
        """What is there."""
        return self._inner.read(max_bytes, self._deadline.left_s())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """Send it all."""
        left_s = self._deadline.left_s()
        self._sends()
        self._inner.write(buffer, left_s)

    def close(self) -> None:
        """Let go."""
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """The same, encrypted; the certificate is the name's, whatever the address."""
        inner = self._inner.start_tls(ssl_context, server_hostname, self._deadline.left_s())
        return BoundedStream(inner, self._deadline, self._sends)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  httpcore's signature
        """What the connection knows of itself."""
        return self._inner.get_extra_info(info)


class CheckedWay(httpcore.NetworkBackend):
    """Connects one POST, to addresses that were checked."""

    _look_ups = threading.BoundedSemaphore(LOOK_UPS_MAX)

    def __init__(
        self,
        allow: tuple[Network, ...],
        deadline: Deadline,
        *,
        encrypted: bool,
        resolve: Resolve = look_up,
        on_send: Callable[[], None] = lambda: None,
    ) -> None:
        self._allow, self._encrypted = allow, encrypted
        self._deadline, self._resolve, self._on_send = deadline, resolve, on_send
        self._inner = httpcore.SyncBackend()
        self.sent = False
        """Whether a byte of the request may have left."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  one deadline for all
        local_address: str | None = None,  # noqa: ARG002  wherever the route begins
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to one of the name's addresses. Raises AddressRefusedError before any byte leaves."""
        options = list(socket_options or ())
        addresses = self._checked(host, self._addresses(host, port))
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                inner = self._inner.connect_tcp(
                    address, port, self._deadline.left_s() / left, socket_options=options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if left == 1:
                    raise
                continue
            return BoundedStream(inner, self._deadline, self._sends)
        raise httpcore.ConnectError(f"{host} has no address")

    def _sends(self) -> None:
        if not self.sent:
            self.sent = True
            self._on_send()

    def _checked(self, host: str, found: Sequence[str]) -> list[str]:
        for text in found:
            if not may_go(ip_address(text), self._allow, global_too=self._encrypted):
                raise AddressRefusedError(f"{host} leads to an address that is not allowed")
        return list(found)[:ADDRESSES_MAX]

    def _addresses(self, host: str, port: int) -> Sequence[str]:
        """Resolved beside: whoever hangs there holds up nobody past the deadline, and only so many hang."""
        answer: Future[Sequence[str]] = Future()
        if not self._look_ups.acquire(timeout=self._deadline.left_s()):
            raise httpcore.ConnectTimeout("too many names are being resolved")
        threading.Thread(target=self._answer, args=(host, port, answer), name="look-up", daemon=True).start()
        try:
            return answer.result(self._deadline.left_s())
        except FutureTimeout as error:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} was not found") from error

    def _answer(self, host: str, port: int, answer: Future[Sequence[str]]) -> None:
        try:
            answer.set_result(self._resolve(host, port))
        except BaseException as error:  # noqa: BLE001  whoever waits raises it
            answer.set_exception(error)
        finally:
            self._look_ups.release()
