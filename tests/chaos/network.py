"""Machines of one's own on one's own wire: network namespaces, each with a cable to a switch that has our address.

Rules of this file:

- A cut is a pulled cable: the switch's port goes down. Nobody is told, nothing is refused, packets are gone.
- Everything has a name of this process's own and is taken away again, whatever happened.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

NETWORKS = "198.18"
"""For benchmarks of network devices (RFC 2544): nobody's."""


def why_not() -> str | None:
    """Why there can be no such machines here; None when there can."""
    if shutil.which("ip") is None:
        return "`ip` is missing: apt-get install iproute2"
    name = f"wb{os.getpid()}-try"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"network namespaces are not allowed here (root is needed): {done.stderr.strip()}"
    _ip("netns", "del", name)
    return None


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class Lan:
    """The switch. `address` is where it is reached from every machine, and from here."""

    address: str
    network: str
    _tag: str

    def on(self, machine: str) -> list[str]:
        """What to put before a command so that it runs on that machine."""
        return ["ip", "netns", "exec", f"{self._tag}-{machine}"]

    def cut(self, machine: str) -> None:
        """Pull its cable."""
        _ip("link", "set", f"{self._tag}{machine}", "down")

    def mend(self, machine: str) -> None:
        """Put it back."""
        _ip("link", "set", f"{self._tag}{machine}", "up")


@contextmanager
def lan(machines: Sequence[str]) -> Iterator[Lan]:
    """Machines with short names on one switch."""
    tag = f"wb{os.getpid()}"
    taken = _ip("-4", "-o", "addr")
    prefix = next(
        name
        for n in range(1, 255)
        if f" {(name := f'{NETWORKS}.{(os.getpid() + n) % 254 + 1}')}." not in taken
    )
    network = Lan(f"{prefix}.1", f"{prefix}.0/24", tag)
    switch = f"{tag}sw"
    with contextlib.ExitStack() as closing:
        closing.callback(_quietly, "link", "del", switch)
        _ip("link", "add", switch, "type", "bridge")
        _ip("addr", "add", f"{prefix}.1/24", "dev", switch)
        _ip("link", "set", switch, "up")
        for n, machine in enumerate(machines):
            closing.callback(_quietly, "netns", "del", f"{tag}-{machine}")
            closing.callback(_quietly, "link", "del", f"{tag}{machine}")
            _plug_in(f"{tag}{machine}", f"{tag}-{machine}", switch, f"{prefix}.{n + 2}/24")
        yield network


def _plug_in(port: str, machine: str, switch: str, address: str) -> None:
    _ip("netns", "add", machine)
    _ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", machine)
    _ip("link", "set", port, "master", switch)
    _ip("link", "set", port, "up")
    _ip("-n", machine, "addr", "add", address, "dev", "eth0")
    _ip("-n", machine, "link", "set", "lo", "up")
    _ip("-n", machine, "link", "set", "eth0", "up")


def _quietly(*words: str) -> None:
    subprocess.run(["ip", *words], capture_output=True, check=False)
