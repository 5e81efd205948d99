"""The demo's own stack: `bridge up` on a folder of its own and free ports, as its user would start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bridge.client import Client, FixedToken, StackOperator
from bridge.core.policy import Policy, to_data
from bridge.demo.processes import Troupe

BRIDGE = (sys.executable, "-m", "bridge.cli.app")
READY_S_MAX = 90.0
STOP_S_MAX = 25.0
ASK_EVERY_S = 0.05


class StackFailed(Exception):
    """`bridge up` did not become ready, or ended by itself."""


class Stack:
    """A running `bridge up`, what its stack.json says, and clients for it."""

    def __init__(self, data: Path, log: Path, process: subprocess.Popen[bytes]) -> None:
        self.data, self.log, self.process = data, log, process

    @property
    def facts(self) -> dict[str, Any]:
        """`stack.json` as it is now."""
        found: dict[str, Any] = json.loads((self.data / "stack.json").read_text())
        return found

    @property
    def url(self) -> str:
        """Where the API answers."""
        return str(self.facts["url"])

    def wait(self) -> None:
        """Return when it is ready. Raises StackFailed."""
        ends = time.monotonic() + READY_S_MAX
        while not (self.data / "stack.json").exists():
            self.check()
            if time.monotonic() > ends:
                raise StackFailed(f"`bridge up` was not ready within {READY_S_MAX:g} s")
            time.sleep(ASK_EVERY_S)

    def check(self) -> None:
        """Raise StackFailed when `bridge up` has ended."""
        if self.process.poll() is not None:
            raise StackFailed(f"`bridge up` ended by itself, with {self.process.returncode}")

    def operator(self) -> Client:
        """A client as the stack's operator."""
        return Client(self.url, StackOperator(self.data))

    def client(self, agent_id: str, session_id: str | None = None, role: str = "participant") -> Client:
        """A client as an agent that is only a program, without a terminal; or as somebody else with a role."""
        with self.operator() as operator:
            issued = operator.issue_token(agent_id, role=role, session_id=session_id or f"{agent_id}-demo")
        return Client(self.url, FixedToken(str(issued["token"])))

    def pid(self, name: str) -> int:
        """The process of one of its services."""
        return int(self.facts["processes"][name])

    def kill(self, name: str) -> int:
        """SIGKILL for one of its services; the pid that it had."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def back(self, name: str, old: int) -> int | None:
        """Its new pid, once it has one."""
        try:
            pid = self.pid(name)
        except (KeyError, ValueError, OSError):
            return None
        return pid if pid != old else None

    def tail(self, lines: int = 30) -> list[str]:
        """The end of its log, without the calls that went well: the play itself makes ten a second."""
        said = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [line for line in said if not ("request.completed" in line and " status=2" in line)][-lines:]


def start_stack(troupe: Troupe, policy: Policy) -> Stack:
    """Start it with this policy as its default; it is not ready yet."""
    data, log = troupe.data / "data", troupe.data / "up.log"
    policy_file = troupe.data / "policy.json"
    policy_file.write_text(json.dumps({k: v for k, v in to_data(policy).items() if k != "version"}, indent=1))
    argv = [*BRIDGE, "up", "--data", str(data), "--port", "0", "--policy", str(policy_file)]
    return Stack(data, log, troupe.start(argv, log=log))
