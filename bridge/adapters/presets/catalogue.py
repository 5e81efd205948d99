"""What a host can start, asked for every second and read anew only when a file has changed.

Rules of this file:

- A broken preset is left out, and said so once for each thing that is wrong with it; so is one whose program is not
  on this host. A program that is installed later counts without a restart.
- What is told is what the files say now: a preset that is mended counts without a restart.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import structlog

from bridge.adapters.presets import load_preset, preset_names
from bridge.adapters.presets.command import CommandData, PresetError
from bridge.adapters.presets.webhook import WebhookData

log = structlog.get_logger(__name__)

_Stamp = tuple[tuple[str, int, int, int, int], ...]


class Catalogue:
    """The presets of one host that start something, and on which rungs; and those that tell a service."""

    def __init__(self, presets_dir: Path, worker: Mapping[str, str] | None = None) -> None:
        """Nothing is read yet. `worker` are the variables that presets choose from: programs are looked up by them."""
        self._dir, self._worker = presets_dir, worker or {}
        self._stamp: _Stamp | None = None
        self._found: dict[str, CommandData] = {}
        self._absent: dict[str, str] = {}
        self._webhooks: dict[str, WebhookData] = {}
        self._wrong: dict[str, str] = {}
        self._lock = threading.Lock()

    def startable(self) -> dict[str, list[str]]:
        """Name -> the rungs whose program is there now."""
        self._refresh()
        with self._lock:
            programs = {name: command.programs(self._worker) for name, command in self._found.items()}
            self._say_absent(programs)
        there = {name: [rung for rung, found in rungs.items() if found] for name, rungs in programs.items()}
        return {name: rungs for name, rungs in there.items() if rungs}

    def _say_absent(self, programs: Mapping[str, Mapping[str, bool]]) -> None:
        absent = {
            name: ", ".join(sorted({self._found[name].argv[rung][0] for rung in lost}))
            for name, rungs in programs.items()
            if (lost := [rung for rung, found in rungs.items() if not found])
        }
        for name, program in absent.items():
            if self._absent.get(name) != program:
                log.info(
                    "preset.not_startable", preset=name, why=f"there is no {program} on this host's PATH"
                )
        self._absent = absent

    def webhooks(self) -> dict[str, WebhookData]:
        """Name -> where its services are told; another object when any preset has changed. A copy."""
        self._refresh()
        with self._lock:
            return dict(self._webhooks)

    def _refresh(self) -> None:
        stamp = self._look()
        with self._lock:
            if stamp != self._stamp:
                self._read()
                self._stamp = stamp

    def _read(self) -> None:
        found: dict[str, CommandData] = {}
        webhooks: dict[str, WebhookData] = {}
        wrong: dict[str, str] = {}
        for name in preset_names(self._dir):
            try:
                preset = load_preset(name, self._dir)
            except PresetError as error:
                wrong[name] = str(error)
                continue
            if preset.command is not None:
                found[name] = preset.command
            if preset.webhook is not None:
                webhooks[name] = preset.webhook
        if os.access(self._dir, os.F_OK) and not os.access(self._dir, os.R_OK | os.X_OK):
            wrong["*"] = f"{self._dir} cannot be read"
        for name, why in wrong.items():
            if self._wrong.get(name) != why:
                log.warning("preset.refused", preset=name, why=why)
        self._found, self._webhooks, self._wrong = found, webhooks, wrong

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
