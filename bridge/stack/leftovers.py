"""What is left of a stack whose manager is gone, found through /proc and ended.

A process belongs to the stack on a data directory when it was started with that stack's mark. Postgres
overwrites its environment: its processes are told by their working directory.
"""

import os
import signal
import time
from pathlib import Path

from bridge.stack.process import STACK_MARK, environment_of, processes, send

END_TIMEOUT_S = 10.0
POLL_S = 0.05


def stack_processes(data_dir: Path) -> list[int]:
    """The living processes of the stack on `data_dir`; without this process and those it descends from."""
    infos = {info.pid: info for info in processes()}
    line = {os.getpid()}
    parent = os.getppid()
    while parent in infos and parent not in line:
        line.add(parent)
        parent = infos[parent].ppid
    return [
        pid for pid, info in infos.items() if pid not in line and not info.ended and _belongs(pid, data_dir)
    ]


def _belongs(pid: int, data_dir: Path) -> bool:
    if environment_of(pid).get(STACK_MARK) == str(data_dir):
        return True
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == data_dir / "postgres"
    except OSError:
        return False


def gone(data_dir: Path, timeout_s: float) -> bool:
    """Wait until nothing of the stack is left; False when something stays."""
    deadline = time.monotonic() + timeout_s
    while stack_processes(data_dir):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def end_leftovers(data_dir: Path) -> int:
    """Kill what is left of the stack and wait until it is gone; give how many there were.

    Only whoever holds the stack's lock may call this.
    """
    found = stack_processes(data_dir)
    for pid in found:
        send(pid, signal.SIGKILL)
    gone(data_dir, END_TIMEOUT_S)
    return len(found)
