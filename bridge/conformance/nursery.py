"""Wrappers that start at once: one process that has loaded what they need, and forks them.

Rules of this file:
- The nursery has one thread and opens nothing: what it forks is as good as what was started anew.
- Whoever it forks leads a session of its own and has the nursery's environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bridge.conformance.wrapped import module_command

WAIT_S: Final = 20.0


class Child:
    """A forked process, known by a descriptor: its number may be somebody else's once it is gone."""

    def __init__(self, pid: int) -> None:
        self._fd: int | None = None
        with contextlib.suppress(ProcessLookupError):
            self._fd = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """None while it runs."""
        return 0 if self._ended(0.0) else None

    def send_signal(self, number: int) -> None:
        """Signal it, if it is there."""
        if self._fd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def wait(self, for_s: float) -> None:
        """Wait for its end. Raises TimeoutExpired."""
        if not self._ended(for_s):
            raise subprocess.TimeoutExpired("a wrapper", for_s)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _ended(self, for_s: float) -> bool:
        return self._fd is None or bool(select.select([self._fd], [], [], for_s)[0])


class Nursery:
    """Forks wrappers on demand."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
            module_command("nursery"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )

    def fork(self, module: str, told: str, cwd: Path) -> Child:
        """Have the module's `main` run with that argument."""
        line = json.dumps({"module": module, "told": told, "cwd": str(cwd)}).encode() + b"\n"
        asking, answering = self._process.stdin, self._process.stdout
        assert asking is not None  # noqa: S101  asked for above
        assert answering is not None  # noqa: S101  as above
        with self._lock:
            asking.write(line)
            asking.flush()
            pid = int(answering.readline())
            return Child(pid)

    def close(self) -> None:
        """Fork nobody any more; those that live are not touched."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(WAIT_S)


def main() -> None:
    """Fork who is asked for, until nobody asks any more."""
    from bridge.conformance import wrapped, wrapped_pane  # noqa: PLC0415  loaded once, here

    mains: dict[str, Callable[[], None]] = {"wrapped": wrapped.main, "wrapped_pane": wrapped_pane.main}
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here: the kernel buries them
    for line in sys.stdin.buffer:
        told = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(mains[told["module"]], told)
        os.write(1, f"{pid}\n".encode())


def _become(play: Callable[[], None], told: dict[str, str]) -> None:
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        os.closerange(3, 64)
        os.chdir(told["cwd"])
        sys.argv = [told["module"], told["told"]]
        play()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        os._exit(code)
