"""Who lives in a pane: its processes, which of them has the terminal, and whether the agent is one of them.

Rules of this file:
- Only /proc is read: what a program is called comes from the kernel, not from a title it gave itself. A
  script counts by its own name where an interpreter runs it.
- A pane whose agent has left belongs to a shell, which would run what we type: nobody is the agent but who
  was recognised.
"""

import os
import termios
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.terminal import tty

_INTERPRETERS: Final = ("python", "node", "bun", "deno", "bash", "sh", "dash", "perl", "ruby")
PROCESSES_MAX: Final = 500
SHELLS: Final = frozenset(
    {"sh", "ash", "bash", "csh", "dash", "fish", "ksh", "mksh", "nu", "pwsh", "tcsh", "xonsh", "zsh"}
)


@dataclass(frozen=True, slots=True)
class Process:
    """One process: `began` tells it from a later one with its number; `front` is the terminal's group.

    `program` is the file it runs (a script's own, where an interpreter runs it), "" where that cannot be read.
    """

    pid: int
    began: int
    group: int
    front: int
    stopped: bool
    names: frozenset[str]
    program: str = ""

    @property
    def is_in_front(self) -> bool:
        """Whether the terminal's keys go to it."""
        return self.group == self.front and not self.stopped


def processes(pid: int) -> list[Process]:
    """A process and all below it, as far as they can be read; empty when it is gone."""
    found: list[Process] = []
    waiting = [pid]
    while waiting and len(found) < PROCESSES_MAX:
        one = waiting.pop(0)
        process = _read(one)
        if process is not None:
            found.append(process)
            waiting += _children(one)
    return found


def named(found: Collection[Process], programs: Collection[str]) -> list[Process]:
    """Those that are one of these programs."""
    return [process for process in found if process.names & set(programs)]


def leader(found: Collection[Process]) -> Process | None:
    """Who has the terminal: the leader of its foreground group, or whoever is in it."""
    front = [process for process in found if process.is_in_front]
    return next((process for process in front if process.pid == process.group), front[0] if front else None)


def is_shell(process: Process) -> bool:
    """Whether it is a shell that waits for commands: one that runs a script has that script's name besides."""
    return process.names <= SHELLS


def _read(pid: int) -> Process | None:
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    state, _parent, group, _session, _tty, front, *more = rest.split()
    try:
        program = Path(f"/proc/{pid}/exe").readlink().name.removesuffix(" (deleted)")
    except OSError:
        program = ""
    names = {name.partition("(")[2], program, Path(words[0]).name.removeprefix("-")}
    script = ""
    if program.startswith(_INTERPRETERS):
        script = next((word for word in words[1:] if word and not word.startswith("-")), "")
        names.add(Path(script).name)
    if state == "Z":
        return None
    runs = _file(pid, program, script)
    return Process(pid, int(more[13]), int(group), int(front), state in "Tt", frozenset(names - {""}), runs)


def _file(pid: int, program: str, script: str) -> str:
    here = Path(f"/proc/{pid}")
    try:
        return str(here.joinpath("cwd").readlink() / script if script else here.joinpath("exe").readlink())
    except OSError:
        return program


def environment_of(pid: int) -> dict[str, str]:
    """The variables that a process was started with; empty where they cannot be read."""
    try:
        words = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="surrogateescape").split("\0")
    except OSError:
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)


def _children(pid: int) -> list[int]:
    try:
        return [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []


@dataclass(frozen=True, slots=True)
class Modes:
    """How the kernel treats what is typed: gathered into lines, and not shown, as for a password."""

    canonical: bool = False
    hidden: bool = False


def modes_of(path: str) -> Modes:
    """The modes of a terminal by its path; the usual ones of a program with a box where it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return Modes()
    try:
        return Modes(tty.is_canonical(fd), tty.is_hidden(fd))
    except termios.error:
        return Modes()
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class Present:
    """Whether the agent is in the pane and has the terminal; otherwise, who has it. `pid` is the agent's, or 0."""

    here: bool
    pid: int
    in_front: bool
    instead: str


class Tenant:
    """The agent of a pane: known by its program's name, or as one process that was there when we came."""

    def __init__(self, programs: Collection[str], first: Process | None = None) -> None:
        """Know it by these names, and as this process."""
        self._programs = tuple(programs)
        self._first = first

    @property
    def may_return(self) -> bool:
        """Whether it would be recognised if it were started again."""
        return bool(self._programs)

    def look(self, pane_pid: int) -> Present:
        """Whether it is there now."""
        found = processes(pane_pid)
        theirs = [process for process in found if self._is(process)]
        front = leader(found)
        return Present(
            here=bool(theirs),
            pid=theirs[0].pid if theirs else 0,
            in_front=any(process.is_in_front for process in theirs),
            instead="" if front is None else "/".join(sorted(front.names)),
        )

    def _is(self, process: Process) -> bool:
        first = self._first
        if first is not None and (process.pid, process.began) == (first.pid, first.began):
            return True
        return bool(process.names.intersection(self._programs))
