"""TCP ports of this machine: is one free, and which."""

import socket

from bridge.core.errors import Conflict


class PortTaken(Conflict):
    """Another program listens on the port."""


def require_free_port(bind: str, port: int) -> None:
    """Refuse a port that cannot be listened on."""
    try:
        _listen(bind, port)
    except OSError as error:
        reason = error.strerror or str(error)
        msg = (
            f"cannot listen on {bind} port {port} ({reason}): choose another with --port, or 0 for a free one"
        )
        raise PortTaken(msg, port=port) from error


def free_port(preferred: int, bind: str = "127.0.0.1") -> int:
    """The preferred port if it is free, else any that is; 0 prefers none."""
    try:
        return _listen(bind, preferred)
    except OSError:
        return _listen(bind, 0)


def http_url(host: str, port: int) -> str:
    """The URL of a port."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(bind: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((bind, port))
        trial.listen(1)
        return int(trial.getsockname()[1])
