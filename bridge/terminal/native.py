"""What the agent calls its session, by the files that it holds open.

Rules of this file:
- Only /proc of the agent and of what it started is read, and only names: nothing is opened.
- Whoever is nearest to the agent counts: what it has started may be agents of their own.
- Two names at once are none, unless one of them is the known one: nobody guesses which session is meant.
"""

import os
import re
from pathlib import Path
from typing import Final

LOOK_UNKNOWN_S: Final = 1.0
LOOK_KNOWN_S: Final = 3.0
PROCESSES_MAX: Final = 64


def open_files(agent: int) -> list[list[str]]:
    """The names of the files that the agent has open, then those of its children, then of theirs."""
    levels: list[list[str]] = []
    level, seen = [agent], 0
    while level and seen < PROCESSES_MAX:
        level = level[: PROCESSES_MAX - seen]
        seen += len(level)
        levels.append([name for pid in level for name in _names(pid)])
        level = [child for pid in level for child in _children(pid)]
    return levels


def session_of(levels: list[list[str]], form: re.Pattern[str], known: str | None) -> str | None:
    """The name of the session that the nearest matching file tells; None for none, and for more than one."""
    for names in levels:
        found = {match[1] for name in names if (match := form.search(name))}
        if len(found) == 1:
            return found.pop()
        if found:
            return known if known in found else None
    return None


def record_of(levels: list[list[str]], form: str, native_id: str) -> Path | None:
    """The file that is this session's own record, if it is open."""
    pattern = re.compile(form.replace("{native_id}", re.escape(native_id)))
    return next((Path(name) for names in levels for name in names if pattern.search(name)), None)


def _names(pid: int) -> list[str]:
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            return [name for entry in entries if (name := _target(entry.path)).startswith("/")]
    except OSError:
        return []


def _target(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115  thousands of them: no object for each
    except OSError:
        return ""


def _children(pid: int) -> list[int]:
    try:
        return [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []
