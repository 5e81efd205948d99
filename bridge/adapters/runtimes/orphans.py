"""What is left of a run whose shim is gone, found through /proc and killed.

Rules of this file:

- A process belongs to a run when it was started with the run's marks, when it was seen below the run's shim,
  or when it descends from one that does.
- A shim is killed last: as long as it lives, nothing escapes it.
- Nothing here waits. Whoever calls asks again until nothing is found, twice in a row: a process may be born
  behind the back of one look.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from bridge.adapters.runtimes.command_spec import HOST_NAME, RUN_ID, TOKEN_FILE, Place
from bridge.adapters.runtimes.descent import Process, below, kill, process, processes

SHIM_MARK = "BRIDGE_SHIM"
SESSION_ID, WORKSPACE_ID = "BRIDGE_SESSION_ID", "BRIDGE_WORKSPACE_ID"
_NAMES = {
    name.encode(): name for name in (RUN_ID, HOST_NAME, TOKEN_FILE, SESSION_ID, WORKSPACE_ID, SHIM_MARK)
}


def seen_below(pid: int, before: Iterable[Process]) -> list[Process]:
    """The descendants of a shim, without a look at every process; what was seen before stays while it lives."""
    found: dict[int, Process] = {}
    line = [pid]
    for parent in line:
        for child in _children(parent):
            if child.pid not in found:
                found[child.pid] = child
                line.append(child.pid)
    kept = [one for one in before if one.pid not in found and _same(process(one.pid), one)]
    return [*found.values(), *kept]


def marked(host_name: str, folder: Path) -> dict[str, list[tuple[Process, bool]]]:
    """The living processes of this host's runs by run id, and whether each is a shim."""
    found: dict[str, list[tuple[Process, bool]]] = {}
    for one in processes():
        marks = _marks(one.pid)
        run_id = marks.get(RUN_ID, "")
        token = str(Place(folder / run_id).token)
        if run_id and marks.get(HOST_NAME) == host_name and marks.get(TOKEN_FILE) == token:
            found.setdefault(run_id, []).append((one, SHIM_MARK in marks))
    return found


def held_by_hand(workspace_id: str, session_id: str) -> bool:
    """Whether a program that somebody's terminal started in this session lives."""
    return (workspace_id, session_id) in sessions_by_hand()


def sessions_by_hand() -> set[tuple[str, str]]:
    """The sessions, each with its workspace, in which a program lives that somebody's terminal started, and no run.

    It is the child of the process that leads the terminal, as `bridge run` starts it, or leads it itself, as in a
    pane of tmux. What such a program started in its turn, and left behind, has its marks as well, and holds nothing.
    """
    found: set[tuple[str, str]] = set()
    for one in processes():
        marks = _marks(one.pid)
        session = _session(marks)
        if session and RUN_ID not in marks and (_leads(one.ppid, one.pid) or _leads_a_terminal(one.pid)):
            found |= {session} - {_session(_marks(one.ppid))}
    return found


def _session(marks: Mapping[str, str]) -> tuple[str, str] | None:
    session_id, workspace_id = marks.get(SESSION_ID), marks.get(WORKSPACE_ID)
    return (workspace_id, session_id) if session_id and workspace_id else None


def _leads_a_terminal(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    session, terminal = stat.rpartition(b")")[2].split()[3:5]
    return int(session) == pid and int(terminal) != 0


def _leads(leader: int, pid: int) -> bool:
    try:
        return os.getsid(pid) == leader
    except OSError:
        return False


def kill_left(of_run: list[tuple[Process, bool]], seen: Iterable[Process]) -> bool:
    """Kill what is left of one run; whether there was anything."""
    everyone = processes()
    living = {one.pid: one for one in everyone}
    shims = [one for one, is_shim in of_run if is_shim and _same(living.get(one.pid), one)]
    others = [one for one, is_shim in of_run if not is_shim]
    roots = {one.pid for one in (*shims, *others, *seen) if _same(living.get(one.pid), one)}
    victims = [living[pid] for pid in roots - {one.pid for one in shims}] + below(roots, everyone)
    kill(victims or shims, {one.group for one in shims} if victims else set())
    return bool(victims or shims)


def _same(now: Process | None, before: Process) -> bool:
    return now is not None and now.started == before.started


def _children(pid: int) -> list[Process]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    return [child for child in map(process, found) if child is not None]


def _marks(pid: int) -> Mapping[str, str]:
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (item.partition(b"=") for item in raw.split(b"\0"))
    return {_NAMES[name]: value.decode(errors="replace") for name, _, value in pairs if name in _NAMES}
