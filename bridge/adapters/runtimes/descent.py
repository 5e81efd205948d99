"""Who descends from whom, and a signal that reaches exactly the process that was meant.

Rules of this file:

- Standard library only, nothing of ours: the shim loads it in a bare interpreter.
- A process is its pid and its start together: numbers come again.
- What only waits to be buried does not live.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


class Process(NamedTuple):
    """One living process. A pid comes again, pid and start together do not."""

    pid: int
    ppid: int
    group: int
    started: int


def boot_clock() -> float:
    """Seconds since the machine started, those it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def process(pid: int) -> Process | None:
    """The process of that number, None when it is gone or only waits to be buried."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib costs more than all the rest
            stat = file.read()
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()  # the name before it may hold anything
    if fields[0] in b"ZX" and int(fields[17]) <= 1:  # with more threads, only its first one has ended
        return None
    return Process(pid, int(fields[1]), int(fields[2]), int(fields[19]))


def processes() -> list[Process]:
    """All living processes that can be seen."""
    found = (process(int(name)) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - as above
    return [one for one in found if one is not None]


def below(roots: set[int], everyone: list[Process]) -> list[Process]:
    """Those of `everyone` that descend from `roots`, without these; parents before children."""
    children: dict[int, list[Process]] = {}
    for one in everyone:
        children.setdefault(one.ppid, []).append(one)
    found: list[Process] = []
    line = list(roots)
    for pid in line:
        for child in children.get(pid, ()):
            if child.pid not in roots:
                found.append(child)
                line.append(child.pid)
    return found


def send(one: Process, signum: int) -> None:
    """Signal exactly this process: never another one that got its number meanwhile."""
    with contextlib.suppress(OSError):
        fd = os.pidfd_open(one.pid)
        try:
            now = process(one.pid)
            if now is not None and now.started == one.started:
                signal.pidfd_send_signal(fd, signum)
        finally:
            os.close(fd)


def kill(victims: list[Process], spared: set[int]) -> None:
    """Kill them, by their groups first: a group hears it as one, however fast its members fork and end.

    `spared` are groups that are not theirs alone. Every other group of theirs is: a process can only join a
    group of its own session, and runs begin with a session of their own.
    """
    for group in {one.group for one in victims} - spared:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    for one in victims:
        send(one, signal.SIGKILL)


def own_children() -> list[int]:
    """The children of this process, which has one thread; fast, and those to be buried are among them."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:  # noqa: PTH123 - as above
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(signum: int, parent: int) -> bool:
    """Get this signal when the parent dies; False when it is dead already."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
    return os.getppid() == parent
