"""The files of runs: one private directory each, below the host's own.

Rules of this file:

- A token is never readable by others, never half written, and gone when its run is. Where agents are another user, it
  is theirs, and nothing else is: they pass through the directories above it, and cannot list or change them.
- The outputs of the newest runs stay to be looked at; all else goes.
- Two hosts may share a directory: each cleans up what is marked as its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bridge.adapters.runtimes.agent_user import PASSED, AgentUser
from bridge.adapters.runtimes.command_spec import Place
from bridge.config import Settings

OUTPUTS_KEPT: Final = 20
LAST_WORDS_MAX: Final = 300
_OWNER: Final = "host"


class RunFiles:
    """The directories of one host's runs."""

    def __init__(self, settings: Settings, user: AgentUser | None = None) -> None:
        """Nothing is made yet."""
        self.folder = settings.runs_dir
        self._host_name, self._user = settings.host_name, user

    def place(self, run_id: str) -> Place:
        """Where that run's files are."""
        return Place(self.folder / run_id)

    def make(self, place: Place, token: str) -> None:
        """The run's directory with its token.

        Raises FileExistsError for a run that was here before, PermissionError where others may write.
        """
        above = self.folder.parent
        above.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = above.stat()
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"{above} is not ours alone")
        self.folder.mkdir(mode=0o700, exist_ok=True)
        place.folder.mkdir(mode=0o700)
        if self._user is not None:
            self.folder.chmod(PASSED)
            place.folder.chmod(PASSED)
        (place.folder / _OWNER).write_text(self._host_name, encoding="ascii")
        self.write_token(place, token)

    def write_token(self, place: Place, token: str) -> None:
        """Put a token there: readers see the old one or the new one."""
        new = place.token.with_suffix(".new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as file:
            if self._user is not None:
                self._user.give(fd)
            file.write(token)
        new.replace(place.token)

    def drop_token(self, place: Place) -> None:
        """The run is over: its token goes."""
        for path in (place.token, place.token.with_suffix(".new")):
            path.unlink(missing_ok=True)

    def remove(self, place: Place) -> None:
        """Nothing of this run is kept."""
        shutil.rmtree(place.folder, ignore_errors=True)

    def tidy(self, held: Callable[[], set[str]]) -> None:
        """Of runs that are neither held nor among the newest nothing stays; of the newest only the output.

        Who is held is asked once the folders are known: a run is held before it has one.
        """
        there = self._own()
        kept = held()
        over = [folder for folder in there if folder.name not in kept]
        for number, folder in enumerate(sorted(over, key=_age, reverse=True)):
            place = Place(folder)
            if number >= OUTPUTS_KEPT or not place.log.exists():
                self.remove(place)
                continue
            self.drop_token(place)
            place.shim_log.unlink(missing_ok=True)

    def last_words(self, place: Place) -> str:
        """The last line a shim wrote about its own trouble."""
        try:
            lines = place.shim_log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return lines[-1][:LAST_WORDS_MAX] if lines else ""

    def _own(self) -> list[Path]:
        found: list[Path] = []
        with contextlib.suppress(OSError):
            for folder in self.folder.iterdir():
                with contextlib.suppress(OSError):
                    if (folder / _OWNER).read_text(encoding="ascii") == self._host_name:
                        found.append(folder)
        return found


def _age(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
