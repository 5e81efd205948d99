"""The program's own queue: one short command, run beside the relay, that gives it a line without a key pressed.

Rules of this file:
- A child in a group of its own, without a terminal, without our descriptors; polled, never waited for.
- Nothing was queued for certain only where the program was not there, or said so in words that the preset knows.
  Everything else that went wrong is not known, and what is not known is never repeated.
- A value never becomes an option, and never names the program.
"""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from typing import Final

from bridge.terminal.live import Live
from bridge.terminal.terms import Queued

OUTPUT_BYTES_MAX: Final = 65_536


class NativeQueue:
    """Runs the preset's command for one line at a time."""

    def __init__(self, live: Live, program: str, environment: Mapping[str, str]) -> None:
        """`program` is what the human started: it is asked again, with its own environment."""
        self._live, self._program, self._environment = live, program, dict(environment)
        self._refused = [re.compile(form) for form in live.queue_refused]
        self._child: subprocess.Popen[bytes] | None = None
        self._over_at = 0.0
        self._said = b""
        self._result: Queued | None = None

    @property
    def under_way(self) -> bool:
        """Whether an answer is still to come."""
        return self._child is not None or self._result is not None

    def give(self, native_id: str | None, line: str, now: float) -> None:
        """Begin; `poll` says how it went. Without a session nothing is begun, and that is said."""
        if native_id is None or native_id.startswith("-") or line.startswith("-") or "\0" in line:
            self._result = Queued.REFUSED
            return
        values = {"{program}": self._program, "{native_id}": native_id, "{line}": line}
        argv = [_filled(word, values) for word in self._live.queue_argv]
        self._said, self._over_at = b"", now + self._live.queue_timeout_s
        try:
            self._child = subprocess.Popen(  # noqa: S603  the preset's command, no shell
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        except (OSError, ValueError):
            self._result = Queued.REFUSED
            return
        if self._child.stdout is not None:
            os.set_blocking(self._child.stdout.fileno(), False)

    def poll(self, now: float) -> Queued | None:
        """The answer, once; None while there is none."""
        if self._child is not None:
            self._look(self._child, now)
        result, self._result = self._result, None
        return result

    def close(self) -> None:
        """Leave no process behind."""
        if self._child is not None:
            self._end(self._child)

    def _look(self, child: "subprocess.Popen[bytes]", now: float) -> None:
        code = child.poll()
        self._read(child)
        if code is not None:
            said = self._said.decode(errors="replace")
            self._result = Queued.UNKNOWN if code else Queued.QUEUED
            if code and any(form.search(said) for form in self._refused):
                self._result = Queued.REFUSED
            self._end(child)
        elif now >= self._over_at:
            self._result = Queued.UNKNOWN
            self._end(child)

    def _read(self, child: "subprocess.Popen[bytes]") -> None:
        if child.stdout is None:
            return
        with contextlib.suppress(OSError):
            data = os.read(child.stdout.fileno(), OUTPUT_BYTES_MAX)
            self._said = (self._said + data)[:OUTPUT_BYTES_MAX]

    def _end(self, child: "subprocess.Popen[bytes]") -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
        self._child = None


def _filled(word: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\{[a-z_]+\}", lambda found: values.get(found[0], found[0]), word)
