"""A manager in a process of its own, as `bridge up` is, with all that a test wants to know of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bridge.config import default_run_dir, inherited_environment
from bridge.stack.leftovers import end_leftovers, stack_processes
from bridge.stack.ports import free_port

STAND_IN = Path(__file__).with_name("stand_in.py")
ROOT = Path(__file__).parents[2]
DEADLINE_S = 120.0
POLL_S = 0.02

T = TypeVar("T")


def until(condition: Callable[[], T | None], what: str) -> T:
    """Poll until the condition gives something true."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(POLL_S)
    return found


def clean_environment(**more: str) -> dict[str, str]:
    """This process's variables without any setting of the bridge."""
    named = ("BRIDGE_", "DATABASE_URL", "BROKER_URL")
    kept = {name: value for name, value in inherited_environment().items() if not name.startswith(named)}
    return kept | {"PYTHONPATH": str(ROOT)} | more


class Running:
    """A stack on `data_dir`: of stand-ins, or what `argv` starts."""

    def __init__(
        self,
        data_dir: Path,
        grace_s: float = 0.2,
        argv: list[str] | None = None,
        **environment: str,
    ) -> None:
        self.data_dir = data_dir
        self.output: list[str] = []
        self.process = subprocess.Popen(
            argv or [sys.executable, str(STAND_IN), str(data_dir), str(free_port(0)), str(grace_s)],
            env=clean_environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            self.output.extend(lines)

    @property
    def said(self) -> str:
        """All it has written."""
        return "".join(self.output)

    def record(self) -> dict[str, object]:
        """What stack.json says, once it is there."""

        def read() -> dict[str, object] | None:
            assert self.process.poll() is None, self.said
            try:
                found: dict[str, object] = json.loads((self.data_dir / "stack.json").read_text())
            except FileNotFoundError:
                return None
            # The word of a manager that was killed stays until the next one has the lock.
            return found if found["pid"] == self.process.pid else None

        return until(read, "stack.json")

    def pids(self) -> dict[str, int]:
        """The processes of stack.json."""
        found = self.record()["processes"]
        assert isinstance(found, dict)
        return found

    def kill_one(self, name: str) -> int:
        """Kill a service with SIGKILL; give the pid of its successor."""
        old = self.pids()[name]
        os.kill(old, signal.SIGKILL)
        until(lambda: self.pids()[name] != old, f"another {name}")
        return self.pids()[name]

    def end(self, signum: signal.Signals) -> int:
        """Send the manager a signal and wait for its end."""
        self.process.send_signal(signum)
        status = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return status

    def all_gone(self) -> None:
        """Wait until no process of the stack is left."""
        until(lambda: not stack_processes(self.data_dir), "the end of all processes")

    def clean(self) -> None:
        """End it, whatever state it is in."""
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        end_leftovers(self.data_dir)
        self._reader.join(DEADLINE_S)
        shutil.rmtree(default_run_dir(self.data_dir), ignore_errors=True)
