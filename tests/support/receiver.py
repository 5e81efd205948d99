"""A service that is told by webhooks: real HTTP on loopback, requests kept as they came, answers as a test says."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks import Webhook

from bridge.adapters.presets import load_preset
from bridge.adapters.presets.webhook import WebhookData
from bridge.adapters.runtimes.webhook import Service, Services, WebhookRuntime
from bridge.adapters.tokens import wall_clock
from bridge.ports.runtime import Handed, Line, SessionRef

SESSION = SessionRef("ws", "billing-agent", "ses-1")
LINE = Line(key="wake_1", text="Wakebridge: 3 new messages", unread=3, threads=2, deadline_s=5.0)
QUICK = replace(LINE, deadline_s=0.6)
QUICK_S_MAX = 2.0
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_" + "QUJD" * 8

Answer = Callable[["Receiver", socket.socket], None]


@dataclass(frozen=True)
class Got:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str = SECRET) -> dict[str, Any]:
        """What it says, once the signature is found to be right."""
        said = Webhook(secret).verify(self.body, self.headers)
        assert isinstance(said, dict)
        return said


def says(status: int, headers: str = "", body: bytes = b"") -> Answer:
    """Answer with this."""

    def answer(receiver: "Receiver", line: socket.socket) -> None:
        del receiver
        head = f"HTTP/1.1 {status} Said\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        line.sendall(head.encode() + body)

    return answer


def drips(receiver: "Receiver", line: socket.socket) -> None:
    """A byte now and then, each well before any timeout of a read, and never an end."""
    line.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not receiver.over.wait(0.05):
        line.sendall(b"x")


def drips_body(receiver: "Receiver", line: socket.socket) -> None:
    """A whole head, then a body without end."""
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    while not receiver.over.wait(0.001):
        line.sendall(b"x" * 65536)


def hangs(receiver: "Receiver", line: socket.socket) -> None:
    """Not a word."""
    del line
    receiver.over.wait(30)


def resets(receiver: "Receiver", line: socket.socket) -> None:
    """Hang up hard."""
    del receiver
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def babbles(receiver: "Receiver", line: socket.socket) -> None:
    """What is no HTTP."""
    del receiver
    line.sendall(b"\xff\x00SSH-2.0-nothing\r\n" * 3)


@dataclass
class Receiver:
    """Listens on a port of loopback; each connection is one request and one answer of `answers`, the last for ever."""

    answers: list[Answer] = field(default_factory=lambda: [says(200)])
    context: ssl.SSLContext | None = None
    got: list[Got] = field(default_factory=list)
    connections: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http{'s' if self.context else ''}://127.0.0.1:{self.port}/woken"

    def close(self) -> None:
        """Listen no more."""
        self.over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(line,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, line: socket.socket) -> None:
        line.settimeout(20)
        with line, suppress(OSError):
            served = self.context.wrap_socket(line, server_side=True) if self.context else line
            with served, suppress(OSError):
                got = _read(served)
                if got is None:
                    return
                with self._lock:
                    self.got.append(got)
                    answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                answer(self, served)


def _read(line: socket.socket) -> Got | None:
    file = line.makefile("rb")
    with file:
        first = file.readline().decode("latin-1").split(" ")
        headers: dict[str, str] = {}
        while raw := file.readline().strip():
            name, _, value = raw.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if len(first) < 2:
            return None
        return Got(first[1], headers, file.read(int(headers.get("content-length", "0"))))


@contextmanager
def receiving(*answers: Answer, context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver that answers so, one after the other, the last for ever."""
    receiver = Receiver(list(answers) or [says(200)], context)
    try:
        yield receiver
    finally:
        receiver.close()


def webhook_preset(folder: Path, url: str, *, name: str = "billing", **more: Any) -> Path:  # noqa: ANN401 - fields by name
    """A host's preset of that name, with a secret beside it; the file with the secret."""
    folder.mkdir(parents=True, exist_ok=True)
    secret = folder / f"{name}.secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    table = {"url": url, "secret_file": str(secret), "allow": ["127.0.0.0/8"], **more}
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in table.items()]
    (folder / f"{name}.toml").write_text(f'name = "{name}"\n[webhook]\n' + "".join(lines))
    return secret


def certificate(folder: Path, *names: str) -> tuple[ssl.SSLContext, Path]:
    """A server's context for these names, and the file of the authority that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = datetime.fromtimestamp(wall_clock(), UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    authority, private = folder / "ca.pem", folder / "key.pem"
    authority.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, private)
    return context, authority


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def held(data: WebhookData, **more: Any) -> WebhookRuntime:  # noqa: ANN401 - the runtime's own fields
    """A runtime that holds one service, which is there."""
    services = Services()
    services.hold(Service(SESSION, "billing", data, term=1))
    return WebhookRuntime(services, **more)


def data_of(folder: Path, url: str, **more: Any) -> WebhookData:  # noqa: ANN401 - fields by name
    """What a preset with these fields says."""
    webhook_preset(folder, url, **more)
    data = load_preset("billing", folder).webhook
    assert data is not None
    return data


def told(folder: Path, receiver: Receiver, line: Line = LINE) -> Handed:
    """Hand the line over to it."""
    return held(data_of(folder, receiver.url)).hand_over(SESSION, line)
