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
from web.headers import secure

REASONS = {400: "Bad Request", 431: "Request Header Fields Too Large"}
LINGER_S, LINGER_READS = 0.5, 32
CLIENTS_FAULT = (errors.ParseException,)


class ProblemWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """As gunicorn's, but for the form of its own refusals."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ANN401
        """Answer a request that could not be read; what is not the client's fault stays gunicorn's."""
        if not isinstance(exc, CLIENTS_FAULT):
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("a request that could not be read: %s", type(exc).__name__)
        _count()
        with contextlib.suppress(OSError):
            write_nonblock(client, refusal(exc))
            _linger(client)


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
    too_large = isinstance(error, errors.LimitRequestHeaders)
    status, code = (431, "HEADERS_TOO_LARGE") if too_large else (400, "INVALID_ARGUMENT")
    request_id = Uuid7Ids().new("req_")
    said = {
        "type": f"urn:wakebridge:error:{code.lower()}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": "the headers are too large" if too_large else "the request is not valid HTTP/1.1",
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
