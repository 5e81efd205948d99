"""Looks at /proc from outside: which processes of runs live, and how long each agent process lived.

Rules of this file:

- Standard library only: as a program (`python -I -S watcher.py FOLDER RUNS_DIR`) it looks every few milliseconds until
  its stdin ends, then prints what it saw; imported, it gives one look.
- A process is its pid and its start together. A zombie does not live. An agent is who was exec-ed as one, and leads
  its own session: the copy of it that a fork makes, before its exec, does not.
- A life is from its start, which the kernel says to a tick, to the last moment at which it was seen alive. So two
  lives that overlap here did overlap.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

PERIOD_S: Final = 0.008
SETTLED_S: Final = 3.0  # a process that is nothing to us at this age stays so
TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
AGENT, HELPER, SHIM, OTHER = "agent", "helper", "shim", "other"


@dataclass(frozen=True, slots=True)
class Seen:
    """A living process of a run. `marked`: it has the run's marks in its environment."""

    pid: int
    started: int
    kind: str
    run: str
    session: str
    marked: bool


def boot_clock() -> float:
    """Seconds since the machine started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _stat(pid: str) -> tuple[int, bool] | None:
    """Start, and whether it leads its session; None when it does not live."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  pathlib costs more than the look
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in b"ZX" else (int(fields[19]), fields[3] == pid.encode())


def _words(pid: str, what: str) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/{what}", "rb") as file:  # noqa: PTH123  as above
            return file.read().split(b"\0")
    except OSError:
        return []


def look(pid: str, folder: bytes, runs_dir: bytes) -> Seen | None:
    """The process, when it lives and is of a run of ours."""
    found = _stat(pid)
    if found is None:
        return None
    argv = _words(pid, "cmdline")
    marks = dict(word.partition(b"=")[::2] for word in _words(pid, "environ") if word.startswith(b"BRIDGE_"))
    ours = marks.get(b"BRIDGE_TOKEN_FILE", b"").startswith(runs_dir) and b"BRIDGE_RUN_ID" in marks
    role = argv[argv.index(folder) - 1] if folder in argv[1:] else b""
    if role not in (b"agent", b"helper"):
        role = b""
    if not ours and not role:
        return None
    said = argv[argv.index(folder) + 1 :] if role else []
    if role and len(said) < 2:
        return None  # half an argv: it is just being exec-ed
    kind = SHIM if b"BRIDGE_SHIM" in marks and not role else OTHER
    run = marks.get(b"BRIDGE_RUN_ID", b"")
    session = b""
    if role == b"helper":
        kind, run = HELPER, said[0]
    elif role == b"agent":
        kind, session, run = (AGENT if found[1] else OTHER), said[0], said[1]
    return Seen(int(pid), found[0], kind, run.decode(), session.decode(), ours)


def living(folder: str, runs_dir: str) -> list[Seen]:
    """One look at all processes."""
    pids = [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208  as above
    found = (look(pid, folder.encode(), runs_dir.encode()) for pid in pids)
    return [one for one in found if one is not None]


@dataclass(slots=True)
class Life:
    """An agent's process: seconds after boot."""

    pid: int
    started: int
    session: str
    run: str
    first_s: float
    last_s: float


class Watcher:
    """Looks again and again, and keeps the lives of agents."""

    def __init__(self, folder: str, runs_dir: str) -> None:
        self._folder, self._runs_dir = folder.encode(), runs_dir.encode()
        self._nothing: set[str] = set()  # pids that are nothing to us, and stay so
        self.lives: dict[tuple[int, int], Life] = {}
        self.gaps_ms: list[float] = []

    def scan(self) -> None:
        """One look at what may have changed."""
        pids = {name for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208  as above
        self._nothing &= pids
        for pid in pids - self._nothing:
            now = boot_clock()  # before the look: whoever is seen alive lived then
            seen = look(pid, self._folder, self._runs_dir)
            if seen is None:
                stat = _stat(pid)
                if stat is None or now - stat[0] * TICK_S > SETTLED_S:
                    self._nothing.add(pid)
            elif seen.kind == AGENT:
                key = (seen.pid, seen.started)
                life = self.lives.setdefault(key, Life(*key, seen.session, seen.run, now, now))
                life.last_s = now

    def watch(self) -> None:
        """Until stdin ends."""
        before = boot_clock()
        while not select.select([0], [], [], max(0.0, before + PERIOD_S - boot_clock()))[0]:
            now = boot_clock()
            self.gaps_ms.append((now - before) * 1000)
            before = now
            self.scan()

    def account(self) -> dict[str, object]:
        """What was seen."""
        gaps = sorted(self.gaps_ms) or [0.0]
        return {
            "lives": [asdict(life) for life in self.lives.values()],
            "looks": len(gaps),
            "gap_ms_median": gaps[len(gaps) // 2],
            "gap_ms_p99": gaps[len(gaps) * 99 // 100],
            "gap_ms_max": gaps[-1],
        }


def overlaps(
    lives: list[Life], whose: Callable[[Life], str] = lambda life: life.session
) -> list[tuple[Life, Life]]:
    """Pairs of one session (or of whatever else) of which one began while the other certainly lived."""
    found: list[tuple[Life, Life]] = []
    for owner in sorted({whose(life) for life in lives}):
        of_it = sorted((life for life in lives if whose(life) == owner), key=lambda life: life.started)
        for n, one in enumerate(of_it):
            found += [(one, two) for two in of_it[n + 1 :] if (two.started + 1) * TICK_S < one.last_s]
    return found


if __name__ == "__main__":
    with contextlib.suppress(
        OSError
    ):  # a look that comes late sees less: before everybody else, where that is allowed
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    watcher = Watcher(*sys.argv[1:])
    watcher.watch()
    print(json.dumps(watcher.account()))
