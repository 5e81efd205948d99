"""What a host can start, asked for every second and read anew only when a file has changed.

Rules of this file:

- A broken preset is left out, and said so once for each thing that is wrong with it.
- What is told is what the files say now: a preset that is mended counts without a restart.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import structlog

from bridge.adapters.presets import load_preset, preset_names
from bridge.adapters.presets.command import PresetError

log = structlog.get_logger(__name__)

_Stamp = tuple[tuple[str, int, int, int, int], ...]


class Catalogue:
    """The presets of one host that start something, and on which rungs."""

    def __init__(self, presets_dir: Path) -> None:
        """Nothing is read yet."""
        self._dir = presets_dir
        self._stamp: _Stamp | None = None
        self._found: dict[str, list[str]] = {}
        self._wrong: dict[str, str] = {}
        self._lock = threading.Lock()

    def startable(self) -> dict[str, list[str]]:
        """Name -> rungs. A copy."""
        stamp = self._look()
        with self._lock:
            if stamp != self._stamp:
                self._read()
                self._stamp = stamp
            return {name: list(rungs) for name, rungs in self._found.items()}

    def _read(self) -> None:
        found: dict[str, list[str]] = {}
        wrong: dict[str, str] = {}
        for name in preset_names(self._dir):
            try:
                command = load_preset(name, self._dir).command
            except PresetError as error:
                wrong[name] = str(error)
                continue
            if command is not None:
                found[name] = command.rungs
        if os.access(self._dir, os.F_OK) and not os.access(self._dir, os.R_OK | os.X_OK):
            wrong["*"] = f"{self._dir} cannot be read"
        for name, why in wrong.items():
            if self._wrong.get(name) != why:
                log.warning("preset.refused", preset=name, why=why)
        self._found, self._wrong = found, wrong

    def _look(self) -> _Stamp:
        """What changes when a preset does: names, times, sizes, modes and owners."""
        stamp: list[tuple[str, int, int, int, int]] = []
        try:
            for path in (self._dir, *sorted(self._dir.glob("*.toml"))):
                found = path.stat()
                stamp.append((path.name, found.st_mtime_ns, found.st_size, found.st_mode, found.st_uid))
        except OSError:
            stamp.append(("", 0, 0, 0, 0))
        return tuple(stamp)
