"""Is it there? One short question per server, answered within `timeout_s`; nothing here waits longer."""

import base64
import json
import socket
import struct
from pathlib import Path

TIMEOUT_S = 1.0
HTTP_OK = 200
ANSWER_BYTES_MAX = 64 * 1024

_LISTENING = "00010000"  # the flag of a listening socket in /proc/net/unix
_POSTGRES_PROTOCOL = 3 << 16
_POSTGRES_TERMINATE = b"X\0\0\0\4"


def postgres_answers(socket_path: Path, user: str = "postgres", timeout_s: float = TIMEOUT_S) -> bool:
    """Postgres lets a session in (so recovery is over), or at least asks for a password."""
    parameters = b"user\0" + user.encode() + b"\0database\0postgres\0\0"
    startup = struct.pack("!ii", len(parameters) + 8, _POSTGRES_PROTOCOL) + parameters
    try:
        with _unix(socket_path, timeout_s) as link:
            link.sendall(startup)
            said = link.recv(4096)
            link.sendall(_POSTGRES_TERMINATE)
            while link.recv(4096):  # to the end, or Postgres logs a broken connection
                pass
            return said[:1] == b"R"
    except OSError:
        return False


def valkey_answers(socket_path: Path, timeout_s: float = TIMEOUT_S) -> bool:
    """Valkey answers a PING (so its data is loaded)."""
    try:
        with _unix(socket_path, timeout_s) as link:
            link.sendall(b"PING\r\n")
            return link.recv(5) == b"+PONG"
    except OSError:
        return False


def unix_listens(socket_path: Path) -> bool:
    """Somebody listens on a Unix socket. Looked up, not tried: its owner would have to explain an empty call."""
    wanted = str(socket_path)
    with Path("/proc/net/unix").open(encoding="utf-8", errors="replace") as table:
        for line in table:
            _, _, _, flags, *rest = line.rstrip("\n").split(
                maxsplit=7
            )  # type, state, inode and, if any, path
            if flags == _LISTENING and rest[3:] == [wanted]:
                return True
    return False


def http_json(host: str, port: int, path: str, timeout_s: float = TIMEOUT_S) -> tuple[int, dict[str, object]]:
    """GET a small JSON object: status (0: nobody answered) and what it says (empty when it is no object)."""
    status, body = http_get(host, port, path, timeout_s=timeout_s)
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    return status, said if isinstance(said, dict) else {}


def http_get(
    host: str, port: int, path: str, *, login: str = "", timeout_s: float = TIMEOUT_S
) -> tuple[int, bytes]:
    """GET something small, with a login (`user:password`) if given: status (0: nobody answered) and body."""
    basic = f"Authorization: Basic {base64.b64encode(login.encode()).decode()}\r\n" if login else ""
    request = f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nAccept: */*\r\n{basic}\r\n"
    answer = b""
    try:
        with socket.create_connection((host, port), timeout_s) as link:
            link.sendall(request.encode())
            while len(answer) < ANSWER_BYTES_MAX and (chunk := link.recv(8192)):
                answer += chunk
    except OSError:
        return 0, b""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if not status or not status[0].isdigit():
        return 0, b""
    return int(status[0]), body


def _unix(path: Path, timeout_s: float) -> socket.socket:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.settimeout(timeout_s)
    try:
        link.connect(str(path))
    except OSError:
        link.close()
        raise
    return link
