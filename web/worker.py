"""gunicorn's gevent worker, which answers what is not even HTTP with a problem too, in place of a page.

It is imported by the master, before gevent has patched anything: nothing here imports the app.
"""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

from gunicorn.http import errors
from gunicorn.util import write_nonblock
from gunicorn.workers.ggevent import GeventWorker

from bridge.adapters.ids import Uuid7Ids
from bridge.config import load_settings
from web.arrival import TimedLink, TooSlow
from web.headers import secure

REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}
SAID = {
    400: ("INVALID_ARGUMENT", "the request is not valid HTTP/1.1"),
    408: ("TIMEOUT", "the request did not arrive in time"),
    431: ("HEADERS_TOO_LARGE", "the headers are too large"),
}
LINGER_S, LINGER_READS = 0.5, 32
ANSWER_S_MAX = 60.0
"""How long a client may take to read one answer."""
HTTP_1_1 = (1, 1)
CLIENTS_FAULT = (errors.ParseException,)


class ProblemWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """As gunicorn's, but for the form of its own refusals, and for the time that a request may take to arrive."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.request_s_max = load_settings().request_s_max

    def handle(self, listener: Any, client: Any, addr: Any) -> None:  # noqa: ANN401
        """Serve a connection."""
        bounds = {"request_s_max": self.request_s_max, "idle_s_max": self.cfg.keepalive}
        super().handle(listener, TimedLink(client, answer_s_max=ANSWER_S_MAX, **bounds), addr)

    def timeout_ctx(self) -> contextlib.AbstractContextManager[None]:
        """No other bound on a head than the link's: gunicorn's would close without a word."""
        return contextlib.nullcontext()

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:  # noqa: ANN401
        """Serve a request; what comes after it is another one, with its own time."""
        if req.version >= HTTP_1_1 and not any(name == "HOST" for name, _ in req.headers):
            raise errors.InvalidHeader("HOST", req=req)
        sock.serve(req)
        try:
            return super().handle_request(listener_name, req, sock, addr)
        finally:
            sock.await_next()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ANN401
        """Answer a request that could not be read; what is not the client's fault stays gunicorn's."""
        if not isinstance(exc, CLIENTS_FAULT):
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("a request that could not be read: %s", type(exc).__name__)
        _count()
        with contextlib.suppress(OSError):
            write_nonblock(client.link, refusal(exc))
            if not isinstance(exc, TooSlow):
                _linger(client.link)


def _count() -> None:
    from bridge.adapters.metrics import security_events  # noqa: PLC0415  reads the environment when it is imported

    security_events.labels("unreadable_request", "low").inc()


def _linger(client: Any) -> None:  # noqa: ANN401  a socket
    """Let the client finish, for a moment: a close with something unread would take our answer with it."""
    client.shutdown(socket.SHUT_WR)
    client.settimeout(LINGER_S)
    for _ in range(LINGER_READS):
        if not client.recv(65_536):
            return


def refusal(error: BaseException) -> bytes:
    """The whole answer; what was sent is not repeated in it."""
    status = (
        431 if isinstance(error, errors.LimitRequestHeaders) else 408 if isinstance(error, TooSlow) else 400
    )
    code, detail = SAID[status]
    request_id = Uuid7Ids().new("req_")
    said = {
        "type": f"urn:wakebridge:error:{code.lower()}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    body = json.dumps(said)
    headers: dict[str, str] = {}
    secure(headers, by_https=False)
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"HTTP/1.1 {status} {REASONS[status]}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nX-Request-ID: {request_id}\r\n{more}\r\n"
    )
    return (head + body).encode("ascii")
