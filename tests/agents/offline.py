"""A network of one's own with nothing in it but `lo`: whatever is started meanwhile reaches this machine alone.

Rules of this file:

- Only the calling thread moves, and with it what it starts: threads and processes. It must come back.
- Nothing outside the standard library, and no program: minimal machines have no `ip`.
"""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

CLONE_NEWNET: Final = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str:
    """Why this machine gives no network of one's own; "" when it does. It is tried in a child."""
    child = os.fork()
    if child == 0:
        os._exit(0 if _libc.unshare(CLONE_NEWNET) == 0 else 1)
    refused = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "no network namespace can be made here: run the tests as root" if refused else ""


class Offline:
    """Such a network. It is there as long as this object, or anything that runs in it."""

    def __init__(self) -> None:
        """Make it, and stay outside. Raises OSError where that is not allowed."""
        outside = _here()
        try:
            _check(_libc.unshare(CLONE_NEWNET))
            try:
                self._inside = _here()
                _bring_lo_up()
            finally:
                _enter(outside)
        finally:
            os.close(outside)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """The calling thread is in it."""
        outside = _here()
        try:
            _enter(self._inside)
            try:
                yield
            finally:
                _enter(outside)
        finally:
            os.close(outside)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._inside)


def interfaces() -> list[str]:
    """The network's interfaces, as the calling thread sees them."""
    lines = Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
    return sorted(line.partition(":")[0].strip() for line in lines)


def _here() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _enter(network: int) -> None:
    _check(_libc.setns(network, CLONE_NEWNET))


def _check(answer: int) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _bring_lo_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
