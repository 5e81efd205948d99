"""Stopping a stack from outside: the lock names the manager, the manager does the rest."""

import signal
import time
from dataclasses import dataclass
from pathlib import Path

from bridge.core.errors import Unavailable
from bridge.stack.leftovers import POLL_S, end_leftovers, stack_processes
from bridge.stack.process import send
from bridge.stack.record import StackLock

STOP_TIMEOUT_S = 60.0


class StillRunning(Unavailable):
    """The stack does not stop."""


@dataclass(frozen=True)
class Stopped:
    """What a stop found: the manager's pid (None: none ran), and how many leftovers had to be killed."""

    pid: int | None
    leftovers: int


def stop_stack(data_dir: Path, timeout_s: float = STOP_TIMEOUT_S) -> Stopped:
    """Stop the stack on `data_dir`; when this returns, nothing of it runs."""
    if not data_dir.is_dir():
        return Stopped(None, 0)
    lock = StackLock(data_dir)
    pid = None
    deadline = time.monotonic() + timeout_s
    while not lock.try_take():
        holder = lock.holder()
        if pid is None and holder.pid:
            pid = holder.pid
            send(pid, signal.SIGINT)
        if time.monotonic() > deadline:
            msg = f"the stack (pid {holder.pid}) did not stop within {timeout_s:.0f} s"
            raise StillRunning(msg, processes=stack_processes(data_dir))
        time.sleep(POLL_S)
    try:
        (data_dir / "stack.json").unlink(missing_ok=True)
        return Stopped(pid, end_leftovers(data_dir))
    finally:
        lock.release()
