"""A fake agent program that is started with a prompt on stdin, with one oddity of the field at a time.

Run in a bare interpreter, with what it is told as one JSON argument, and `--id=` with the session it is to be. It
writes down how it was started and what it read.
"""

import hashlib
import json
import os
import signal
import sys
import time
from typing import Any, Final

GONE_BY_S: Final = 60.0
MIB: Final = 1024 * 1024


class Started:
    """The program: it reads its prompt, says which session it is, and ends; unless it was told otherwise."""

    def __init__(self, told: dict[str, Any], own_id: str) -> None:
        self.told, self.own_id = told, told.get("as") or own_id
        self.truth = os.open(told["truth"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def log(self, event: str, **facts: object) -> None:
        """One line of the truth."""
        os.write(self.truth, json.dumps({"event": event, **facts}).encode() + b"\n")

    def read(self) -> None:
        """Read the prompt to its end."""
        data = sys.stdin.buffer.read()
        self.log("read", sha256=hashlib.sha256(data).hexdigest(), size=len(data))

    def identify(self) -> None:
        """Say which session this is, as this kind of program does."""
        identity = self.told.get("identity")
        line = json.dumps({**identity["event"], identity["field"]: self.own_id}) if identity else self.own_id
        os.write(1, line.encode() + (b"" if self.told.get("no_newline") else b"\n"))

    def run(self) -> None:
        """Do what it was told."""
        self.log("ready", pid=os.getpid(), argv=sys.argv[1:], environment=dict(_environment()))
        if self.told.get("ignores_term"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self.told.get("daemon"):
            self.leave_a_daemon()
        if not self.told.get("never_reads"):
            self.read()
        if self.told.get("noise"):
            os.write(1, b'{"type": "banner"}\nwelcome\n')
        for _ in range(int(self.told.get("lines_mib", 0)) * 1024):
            os.write(1, b"x" * 1023 + b"\n")
        for _ in range(int(self.told.get("line_mib", 0))):
            os.write(1, b"x" * MIB)
        if not self.told.get("silent"):
            self.identify()
        if self.told.get("stays"):
            wait()
        self.log("ends")
        os._exit(int(self.told.get("status", 0)))

    def leave_a_daemon(self) -> None:
        """Twice forked, a session of its own, deaf to TERM."""
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self.log("daemon", pid=os.getpid())
            wait()
        os.wait()


def wait() -> None:
    """Stay."""
    end = time.monotonic() + GONE_BY_S
    while time.monotonic() < end:
        time.sleep(GONE_BY_S)


def _environment() -> list[list[str]]:
    with open("/proc/self/environ", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  bare interpreter
        return [pair.split("=", 1) for pair in file.read().split("\0") if "=" in pair]


def main() -> None:
    """Be the program that the arguments describe."""
    told = next(argument for argument in sys.argv if argument.startswith("{"))
    given = [argument.removeprefix("--id=") for argument in sys.argv if argument.startswith("--id=")]
    Started(json.loads(told), given[0] if given else "").run()
