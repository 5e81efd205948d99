"""What comes over the wire broken, slow or ambiguous gets its 4xx, and takes nothing from the others."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from bridge.config import Settings
from bridge.core.states import Role
from tests.support.postgres import Owner
from tests.support.web import Mint, free_port, gunicorn
from web.arrival import TimedLink

GOOD = b'{"title":"x","participants":[{"agent_id":"a"}]}'
CHUNKED = "Transfer-Encoding: chunked\r\n"
BAD = (400, "INVALID_ARGUMENT")
SLOW = (408, "TIMEOUT")


@pytest.fixture
def settings(database_url: str, broker_url: str, owner: Owner) -> Iterator[Settings]:
    owner.run("INSERT INTO workspaces VALUES ('default', bridge_now()) ON CONFLICT DO NOTHING")
    with TemporaryDirectory(prefix="wb-") as folder:
        yield Settings(
            data_dir=Path(folder),
            database_url=database_url,
            broker_url=broker_url,
            port=free_port(),
            request_s_max=1.0,
        )


def answer(port: int, raw: bytes, *, close: bool = False) -> tuple[int, str]:
    """The status and code of what comes back until the server closes, or has answered once."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(raw)
        if close:
            link.shutdown(socket.SHUT_WR)
        got = b""
        while not _is_whole(got) and (more := link.recv(65_536)):
            got += more
    head, _, body = got.decode().partition("\r\n\r\n")
    assert re.match(r"HTTP/1\.[01] \d{3} ", head), got
    return int(head.split(" ", 2)[1]), json.loads(body).get("code", "")


def _is_whole(got: bytes) -> bool:
    head, end, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(end) and length is not None and len(body) >= int(length[1])


def post(token: str, headers: str, body: bytes = GOOD) -> bytes:
    head = f"POST /v1/threads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    return (head + f"Content-Type: application/json\r\n{headers}\r\n").encode() + body


def get(token: str, target: str, headers: str = "", version: str = "1.1") -> bytes:
    head = f"GET {target} HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}{headers}\r\n".encode()


def broken(token: str) -> dict[str, tuple[bytes, tuple[int, str]]]:
    """Requests that are wrong on the wire, each with the answer it must get."""
    whole = f"Content-Length: {len(GOOD)}\r\n"
    return {
        "both lengths": (post(token, whole + CHUNKED), BAD),
        "two lengths": (post(token, "Content-Length: 1\r\nContent-Length: 2\r\n"), BAD),
        "negative length": (post(token, "Content-Length: -1\r\n"), BAD),
        "a length with a sign": (post(token, "Content-Length: +5\r\n"), BAD),
        "another coding": (post(token, "Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), BAD),
        "a blank before the colon": (post(token, "Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"), BAD),
        "no chunk size": (post(token, CHUNKED, b"zz\r\n{}\r\n0\r\n\r\n"), BAD),
        "a chunk without its end": (post(token, CHUNKED, b"2\r\n{}xx0\r\n\r\n"), BAD),
        "identity in a trailer": (post(token, CHUNKED, b"2\r\n{}\r\n0\r\nAuthorization: x\r\n\r\n"), BAD),
        "an endless length": (
            post(token, "Content-Length: 99999999999999999999\r\n"),
            (413, "PAYLOAD_TOO_LARGE"),
        ),
        "compressed": (post(token, f"{whole}Content-Encoding: gzip\r\n"), (415, "UNSUPPORTED_MEDIA_TYPE")),
        "unknown method": (b"BREW /v1/threads HTTP/1.1\r\nHost: x\r\n\r\n", (405, "METHOD_NOT_ALLOWED")),
        "small method": (b"get /v1/threads HTTP/1.1\r\nHost: x\r\n\r\n", BAD),
        "other version": (get(token, "/v1/inbox", version="9.9"), BAD),
        "no host": (b"GET /health HTTP/1.1\r\n\r\n", BAD),
        "two hosts": (get(token, "/v1/inbox", "Host: y\r\n"), BAD),
        "folded header": (get(token, "/v1/inbox", "X: a\r\n b\r\n"), BAD),
        "NUL in a header": (get(token, "/v1/inbox", "X: a\0b\r\n"), BAD),
        "bare newlines": (b"GET /health HTTP/1.1\nHost: a\n\n", BAD),
        "long line": (get(token, "/" + "a" * 9000), BAD),
        "authority for a path": (get(token, "x:80"), BAD),
        "no UTF-8 in the query": (get(token, "/v1/threads?q=%ff"), BAD),
        "no UTF-8 in the path": (get(token, "/v1/threads/%ff"), (404, "NOT_FOUND")),
        "two slashes": (get(token, "//v1/threads"), (404, "NOT_FOUND")),
        "out of the tree": (get(token, "/v1/../../etc/passwd"), (404, "NOT_FOUND")),
        "two tokens": (get(token, "/v1/inbox", "Authorization: Bearer x\r\n"), (401, "UNAUTHORIZED")),
        "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", BAD),
        "half a head": (b"GET /v1/inb", SLOW),
        "half a body": (post(token, "Content-Length: 100\r\n"), SLOW),
        "half a chunk": (post(token, CHUNKED, b"5\r\n{"), SLOW),
        "absolute form": (get(token, "http://elsewhere/v1/inbox"), (200, "")),
        "HTTP/1.0": (get(token, "/v1/inbox", version="1.0"), (200, "")),
    }


def test_each_broken_request_gets_its_own_answer_and_none_is_in_the_others_way(
    settings: Settings, owner: Owner
) -> None:
    token = Mint(settings).token("boss", Role.OPERATOR, workspace="default")
    with gunicorn(settings) as web, ExitStack() as slow:
        for number in range(200):
            link = slow.enter_context(socket.create_connection(("127.0.0.1", settings.port), timeout=20))
            link.sendall((b"", b"GET /v1/in", post(token, "Content-Length: 400\r\n", b"{"))[number % 3])
        cases = broken(token)
        with ThreadPoolExecutor(8) as pool:
            asked = {name: pool.submit(answer, settings.port, raw) for name, (raw, _) in cases.items()}
            got = {name: done.result(30) for name, done in asked.items()}
        assert got == {name: wanted for name, (_, wanted) in cases.items()}
        cut = post(token, f"Content-Length: {len(GOOD) + 10}\r\n")
        assert answer(settings.port, cut, close=True) == BAD
        assert (
            web.get("/v1/inbox", headers={"Authorization": f"Bearer {token}"}).status_code == httpx.codes.OK
        )
    assert owner.value("SELECT count(*) FROM threads") == 0


def test_who_does_not_read_its_answer_is_let_go() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = TimedLink(ours, request_s_max=1, idle_s_max=1, answer_s_max=0.05)
        with pytest.raises(BrokenPipeError):
            link.sendall(b"x" * 10_000_000)


def test_an_idle_client_is_one_that_has_gone() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = TimedLink(ours, request_s_max=1, idle_s_max=0.05, answer_s_max=1)
        assert link.recv(10) == b""
