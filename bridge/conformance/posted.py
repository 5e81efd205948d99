"""The runtime `webhook` under test: services of the suite's own on this machine, each with one oddity of the field.

Rules of this file:
- A service writes down each request that reached it; its signature is computed anew here, by the standard's words.
- Names are resolved by the suite: nothing ever leaves this machine.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import hmac
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bridge.adapters.presets.webhook import WebhookData
from bridge.adapters.runtimes.webhook import Service, Services, WebhookRuntime
from bridge.ports.runtime import Handed, Line, SessionRef

KEY: Final = b"a key of the suite's, for nobody."
SECRET: Final = "whsec_" + base64.b64encode(KEY).decode()
HERE: Final = "127.0.0.1"
ALLOWED: Final = ip_network("127.0.0.0/8")
NAME: Final = "service.test"
DEADLINE_S: Final = 3.0
DRIP_S: Final = 0.3
SESSION: Final = SessionRef("doctor", "doctor", "ses_service")


@dataclass
class Asked:
    """One request that reached a service."""

    path: str
    headers: dict[str, str]
    body: bytes

    def is_signed(self) -> bool:
        """Whether the standard's signature of exactly these bytes is there."""
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        right = "v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        return right in self.headers["webhook-signature"].split()


@dataclass
class Manner:
    """How a service answers: `status` with `headers`; or it hangs, drips, or hangs up."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    odd: str = ""


class FakeService:
    """A service on this machine, over TLS with a certificate for `named`, if that is given."""

    def __init__(self, manner: Manner, folder: Path, named: str | None) -> None:
        self.asked: list[Asked] = []
        self.over = threading.Event()
        self.ca_file: str | None = None
        self._server = ThreadingHTTPServer((HERE, 0), self._handler(manner))
        self._server.daemon_threads = True
        if named is not None:
            certificate = folder / "certificate.pem"
            certificate.write_bytes(_certificate(named))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.ca_file = str(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE_S)

    def _handler(self, manner: Manner) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                service.asked.append(Asked(self.path, headers, body))
                if manner.odd == "hangs":
                    service.over.wait(DEADLINE_S * 5)
                elif manner.odd == "drips":
                    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":
                        if service.over.wait(DRIP_S):
                            return
                        with contextlib.suppress(OSError):
                            self.wfile.write(bytes([byte]))
                elif manner.odd != "hangs up":
                    self.send_response(manner.status)
                    for name, value in manner.headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", "0")
                    self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401  as the library has it
                """Say nothing."""

        return Handler


class PostBench:
    """What a trap of posting is tried on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._services: list[FakeService] = []
        self.looked_up: list[str] = []
        self.answers: Callable[[int], Sequence[str]] = lambda _number: [HERE]
        self.runtime = self.make(Services())

    def make(self, held: Services) -> WebhookRuntime:
        """The runtime under test."""
        self.held = held
        return WebhookRuntime(held, resolve=self._resolve)

    def service(
        self,
        manner: Manner | None = None,
        *,
        named: str | None = None,
        host: str = NAME,
        allowed: bool = True,
    ) -> FakeService:
        """A service of that manner, held as the agent's."""
        made = FakeService(manner or Manner(), self._folder, named)
        self._services.append(made)
        secret = self._folder / "secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        data = WebhookData(
            scheme="http" if named is None else "https",
            host=host,
            port=made.port,
            target="/wake",
            secret_file=str(secret),
            allow=(ALLOWED,) if allowed else (),
            ca_file=made.ca_file,
        )
        self.held.hold(Service(SESSION, "doctor", data, 1))
        return made

    def hand(self, key: str = "wake_1", text: str = "Wakebridge: 3 unread in 1 thread. Read them.") -> Handed:
        """Have the line handed over."""
        return self.runtime.hand_over(SESSION, Line(key=key, text=text, deadline_s=DEADLINE_S))

    def close(self) -> None:
        """End the services."""
        for service in self._services:
            service.close()

    def _resolve(self, host: str, port: int) -> Sequence[str]:
        del port
        self.looked_up.append(host)
        return self.answers(len(self.looked_up))


def took_s(play: Callable[[], Handed]) -> tuple[Handed, float]:
    """What came of it, and how long it took."""
    began = time.monotonic()
    handed = play()
    return handed, time.monotonic() - began


def _certificate(name: str) -> bytes:
    """A certificate of that name's own, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    begins = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + dt.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return private + made.public_bytes(serialization.Encoding.PEM)
