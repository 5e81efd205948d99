"""A whole stack of one's own: `bridge up` in a temporary directory, as its user would run it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.config import inherited_environment, load_settings

READY_S = 90.0


class StackFailed(AssertionError):
    """The stack did not do what it must; the message ends with the tail of its log."""


def wait_until(what: str, condition: Callable[[], Any], timeout_s: float, every_s: float = 0.05) -> Any:  # noqa: ANN401
    """What `condition` gives once it is true. Raises StackFailed when it never is in time."""
    ends = time.monotonic() + timeout_s
    while time.monotonic() < ends:
        found = condition()
        if found:
            return found
        time.sleep(every_s)  # the pace of asking, not a synchronisation
    raise StackFailed(f"not within {timeout_s:g} s: {what}")


def free_port() -> int:
    """A loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Stack:
    """A running stack and what `stack.json` says of it."""

    data: Path
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def facts(self) -> dict[str, Any]:
        """`stack.json` as it is now."""
        found: dict[str, Any] = json.loads((self.data / "stack.json").read_text())
        return found

    @property
    def url(self) -> str:
        """Where the API answers."""
        return str(self.facts["url"])

    @property
    def operator_token(self) -> str:
        """The operator's token, renewed by the manager."""
        return str(self.facts["operator_token"])

    @property
    def run_dir(self) -> Path:
        """Where the sockets are."""
        return load_settings(data_dir=self.data).run_dir

    def pid(self, name: str) -> int:
        """The pid of one of its processes."""
        return int(self.facts["processes"][name])

    def signal(self, name: str, signum: signal.Signals) -> int:
        """Send a signal to one of its processes; gives its pid."""
        pid = self.pid(name)
        os.kill(pid, signum)
        return pid

    def kill(self, name: str) -> None:
        """Kill -9, then wait until the manager has started it anew."""
        old = self.signal(name, signal.SIGKILL)
        wait_until(f"{name} is back", lambda: self._back(name, old), READY_S)

    def _back(self, name: str, old: int) -> bool:
        try:
            return self.pid(name) != old
        except (KeyError, ValueError, OSError):
            return False

    def tail(self, lines: int = 60) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def running_stack(policy: dict[str, Any], *, environment: dict[str, str] | None = None) -> Iterator[Stack]:
    """Start it, wait until it is ready, stop it and see that it is gone."""
    with tempfile.TemporaryDirectory(prefix="wb-") as name:
        data = Path(name)
        (data / "policy.json").write_text(json.dumps(policy))
        log = data / "up.log"
        argv = [
            sys.executable,
            "-m",
            "bridge.cli.app",
            "up",
            "--data",
            str(data / "d"),
            "--port",
            str(free_port()),
        ]
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*argv, "--policy", str(data / "policy.json")],
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=inherited_environment() | (environment or {}),
            )
        stack = Stack(data / "d", process, log)
        try:
            wait_until("the stack is ready", lambda: _ready(stack), READY_S)
            yield stack
        except BaseException:
            sys.stderr.write(stack.tail() + "\n")
            raise
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def _ready(stack: Stack) -> bool:
    if stack.process.poll() is not None:
        raise StackFailed(f"bridge up ended with {stack.process.returncode}\n{stack.tail()}")
    return (stack.data / "stack.json").exists()
