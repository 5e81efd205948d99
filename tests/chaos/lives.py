"""The lives of all processes of runs, as /proc shows them from outside: whose, on which host, from when until when.

Rules of this file:

- A process is its pid and its start. It is a run's when the run's mark is in its environment; shims are not counted:
  they hold no session, and outlive their agent by a moment.
- A life is from its start, which the kernel knows to a tick, to the last moment at which it was seen alive: two lives
  that overlap here did overlap.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

EVERY_S = 0.04
TICKS = os.sysconf("SC_CLK_TCK")
SETTLED_S = 2.0
"""After so long a process that is nobody's is not looked at any more: it has been exec-ed long ago."""


def boot_clock() -> float:
    """Seconds since the machine started: the clock of /proc, and of every ledger."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass
class Life:
    """One process of a run."""

    pid: int
    began: float
    seen: float
    run: str
    agent: str
    session: str
    host: str


class Lives:
    """Looks many times a second, in a thread; only what belongs to `folder` counts (it stands in the environment)."""

    def __init__(self, folder: Path) -> None:
        self._mark = str(folder).encode()
        self._known: dict[tuple[int, int], Life] = {}
        self._others: set[tuple[int, int]] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)
        self.longest_gap_s = 0.0

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join(5)

    def all(self) -> list[Life]:
        """Every life so far."""
        with self._lock:
            return list(self._known.values())

    def on(self, host: str, within_s: float = 0.3) -> list[Life]:
        """Those that live there now."""
        now = boot_clock()
        return [life for life in self.all() if life.host == host and now - life.seen < within_s]

    def _go(self) -> None:
        last = boot_clock()
        while not self._stop.wait(EVERY_S):
            self._look()
            now = boot_clock()
            self.longest_gap_s, last = max(self.longest_gap_s, now - last), now

    def _look(self) -> None:
        for name in os.listdir("/proc"):  # noqa: PTH208  many times a second
            if name.isdigit():
                self._look_at(name)

    def _look_at(self, name: str) -> None:
        now = boot_clock()  # before the look: it lived then, or later
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123  as above
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            return
        if fields[0] in b"ZX":
            return
        key = (int(name), int(fields[19]))
        if key in self._others:
            return
        with self._lock:
            if key in self._known:
                self._known[key].seen = now
                return
        found = self._marks(name)
        if found is None:
            if now - key[1] / TICKS > SETTLED_S:
                self._others.add(key)
            return
        with self._lock:
            self._known[key] = Life(key[0], key[1] / TICKS, now, *found)

    def _marks(self, name: str) -> tuple[str, str, str, str] | None:
        try:
            words = Path("/proc", name, "environ").read_bytes().split(b"\0")
        except OSError:
            return None
        marks = dict(word.partition(b"=")[::2] for word in words if word.startswith(b"BRIDGE_"))
        if b"BRIDGE_RUN_ID" not in marks or b"BRIDGE_SHIM" in marks:
            return None
        if not marks.get(b"BRIDGE_TOKEN_FILE", b"").startswith(self._mark):
            return None
        run, agent, session, host = (
            marks.get(b"BRIDGE_" + mark, b"").decode()
            for mark in (b"RUN_ID", b"AGENT_ID", b"SESSION_ID", b"HOST_NAME")
        )
        return run, agent, session, host


def overlaps(lives: list[Life]) -> list[str]:
    """Processes of one agent on two hosts at once, and of one session in two runs at once: in words."""
    found = []
    for n, one in enumerate(sorted(lives, key=lambda life: life.began)):
        for other in sorted(lives, key=lambda life: life.began)[n + 1 :]:
            if other.began + 1 / TICKS >= one.seen or other.agent != one.agent or other.run == one.run:
                continue
            if other.host != one.host or other.session == one.session:
                found.append(
                    f"{one.agent}: run {other.run} began on {other.host} {one.seen - other.began:.2f} s before "
                    f"a process of run {one.run} was last seen on {one.host}"
                )
    return found
