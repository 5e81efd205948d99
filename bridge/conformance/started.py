"""The command runtime under test: a run book of the suite's own, and a preset like the one under test.

Rules of this file:
- The fake is started by the preset's rules (identity, who names a session); only its argv is ours.
- Nothing of a run may live when its end was told: it is looked for in /proc by its truth's name.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import tempfile
import threading
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final

from bridge.adapters import presets
from bridge.adapters.presets.command import CommandData
from bridge.adapters.runtimes.command import RunBook
from bridge.config import Settings
from bridge.conformance.live import clear, environment
from bridge.conformance.traps import Wrong
from bridge.conformance.truth import Truth, until
from bridge.conformance.wrapped import module_command
from bridge.core.states import Rung
from bridge.ports.runs import Runs, RunSpec

ENDED_S: Final = 8.0
TOKEN: Final = "e30.eyJpYXQiOjAsImV4cCI6OTAwfQ.not-a-secret"  # noqa: S105  what looks like a token of 15 min
NATIVE_ID: Final = "01a20235-581c-7000-8000-00000000c0de"
FENCE_S: Final = 600.0
REST_S: Final = 0.3
DELETE: Final = "\x7f"
ESCAPED: Final = "\\u007f"


@dataclass
class Notes:
    """The watcher of the suite's runs: it notes what it is told."""

    told: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def started(self, spec: RunSpec, **facts: Any) -> None:  # noqa: ANN401  as the port says
        """The process is there."""
        self._note(spec, "started", facts)

    def proved(self, spec: RunSpec, native_id: str) -> None:
        """It said which session it is."""
        self._note(spec, "proved", {"native_id": native_id})

    def ended(self, spec: RunSpec, **facts: Any) -> None:  # noqa: ANN401  as the port says
        """Nothing of it lives."""
        self._note(spec, "ended", facts)

    def of(self, run_id: str, event: str) -> dict[str, Any] | None:
        """The facts of one event of a run, None while it was not told."""
        with self.lock:
            return next((facts for found, kind, facts in self.told if (found, kind) == (run_id, event)), None)

    def _note(self, spec: RunSpec, event: str, facts: dict[str, Any]) -> None:
        with self.lock:
            self.told.append((spec.run_id, event, facts))


class NoMint:
    """Gives the same token again."""

    def issue(self, _workspace_id: str, _agent_id: str, _session_id: str) -> str:
        """The suite's token."""
        return TOKEN


class CommandAdapter:
    """The command runtime, with presets of the suite's."""

    name = "command"

    def __init__(self, preset: str, presets_dir: Path | None, command: CommandData) -> None:
        self.command = command
        self.table = _raw(preset, presets_dir)
        self.folder = Path(tempfile.mkdtemp(prefix=f"wbd-{os.getpid()}-", dir="/tmp"))
        self.settings = Settings(
            data_dir=self.folder, run_dir=self.folder / "run", host_name="doctor", port=1
        )
        self.settings.presets_dir.mkdir(parents=True, mode=0o700)
        self.notes = Notes()
        self.book: Runs = RunBook(
            self.settings, self.notes, NoMint(), environment=environment(), fence_s=FENCE_S
        )
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def number(self) -> int:
        """A number for one trap."""
        with self._lock:
            return next(self._numbers)

    def close(self) -> None:
        """End every run, and clear away."""
        self.book.close(0.2)
        clear(self.folder)


class Bench:
    """What a trap of starting is tried on: one preset, one run."""

    def __init__(self, adapter: CommandAdapter, folder: Path, *, ended_s: float = ENDED_S) -> None:
        self.adapter, self.folder, self._ended_s = adapter, folder, ended_s
        self.truth = Truth(folder / "truth")
        self._number = adapter.number()
        self.run_id = f"run_doctor_{os.getpid()}_{self._number}"
        self.command = adapter.command

    def start(
        self,
        *,
        prompt: str = "you have unread messages",
        id_argument: str = "--id={native_id}",
        **how: Any,  # noqa: ANN401  fields of RunSpec and oddities
    ) -> RunSpec:
        """Start the fake with an oddity. Raises BridgeError where the adapter refuses."""
        fields = {key: how.pop(key) for key in tuple(how) if key in RunSpec.__dataclass_fields__}
        identity = self.command.identity
        told = {"truth": str(self.truth.path), **how}
        if identity is not None:
            told["identity"] = {"event": dict(identity.event), "field": identity.field}
        name = f"trap-{self._number}"
        argv = [*module_command("programs.started", json.dumps(told), bare=True), id_argument]
        rungs = dict.fromkeys(self.command.rungs, argv)
        dropped = {"resume", "spawn", "cwd", "environment", "set"}
        table = {key: value for key, value in self.adapter.table.items() if key not in dropped} | rungs
        path = self.adapter.settings.presets_dir / f"{name}.toml"
        path.write_text(f"name = {_toml(name)}\ncommand = {_toml(table)}\n")
        rung = Rung.RESUME if "resume" in self.command.argv else Rung.SPAWN
        usual: dict[str, Any] = {
            "run_id": self.run_id,
            "workspace_id": "doctor",
            "agent_id": "doctor",
            "session_id": f"ses_{self._number}",
            "native_id": NATIVE_ID,
            "rung": rung,
            "preset": name,
            "prompt": prompt,
            "token": TOKEN,
            "kill_after_s": 30.0,
            "kill_grace_s": 0.3,
            "cwd": str(self.folder),
        }
        spec = RunSpec(**(usual | fields))
        self.adapter.book.start(spec)
        return spec

    def ended(self) -> dict[str, Any]:
        """Wait for the end; by then nothing may live of it."""
        facts = until(
            lambda: self.adapter.notes.of(self.run_id, "ended"), "the end of the run", self._ended_s
        )
        if left := self.living():
            message = f"its end was told while processes of it live: {left}"
            raise Wrong(message)
        return facts

    def proved(self) -> str | None:
        """The session that it proved to be, if it did."""
        facts = self.adapter.notes.of(self.run_id, "proved")
        return None if facts is None else str(facts["native_id"])

    def living(self) -> list[int]:
        """Processes of this run: their command line names its truth."""
        mark = str(self.truth.path).encode()
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
                    if mark in (entry / "cmdline").read_bytes() and state not in b"ZX":
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def close(self) -> None:
        """End the run."""
        self.adapter.book.end(self.run_id, "the trap is over", 0.0)
        until(lambda: self.run_id not in self.adapter.book.held(), "the end of the run", self._ended_s)


@contextlib.contextmanager
def started_anew(presets_dir: Path | None, programs: Path) -> Iterator[tuple[RunBook, Notes]]:
    """A run book for the user's own programs and presets; those in that folder are found first."""
    folder = Path(tempfile.mkdtemp(prefix=f"wbd-{os.getpid()}-", dir="/tmp"))
    presets_dir = presets_dir or folder / "presets"
    settings = Settings(
        data_dir=folder, run_dir=folder / "run", host_name="doctor", port=1, presets_dir=presets_dir
    )
    notes, variables = Notes(), environment()
    variables["PATH"] = os.pathsep.join([str(programs), variables.get("PATH", "")])
    book = RunBook(settings, notes, NoMint(), environment=variables, fence_s=FENCE_S)
    try:
        yield book, notes
    finally:
        book.close(0.5)
        clear(folder)


def _raw(preset: str, presets_dir: Path | None) -> dict[str, Any]:
    """The [command] as it stands in the preset's file."""
    own = None if presets_dir is None else presets_dir / f"{preset}.toml"
    if own is not None and own.is_file():
        text = own.read_text()
    else:
        text = (resources.files(presets) / f"{preset}.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text)["command"])


def _toml(value: object) -> str:
    """A value of a preset as it may stand behind a key."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # JSON's strings, numbers and booleans are TOML's, but for a character TOML wants escaped.
    return json.dumps(value).replace(DELETE, ESCAPED)
