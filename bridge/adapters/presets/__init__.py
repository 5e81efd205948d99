"""Presets: what the bridge knows about one kind of agent program, as data.

Rules of this folder:
- One TOML file a program, plain values only; the name of the file is the name of the preset. A host's own
  presets stand in the directory of the setting `presets_dir`; one there wins over a built-in of its name.
- `[screen]` says how the program's input line looks. It is handed to `bridge run` as keyword arguments, so
  its fields are exactly those of `bridge.terminal.Rules`; a test compares the two.
- `[live]` says which native ways the program has in a terminal, and by which names it is known there.
- `[command]` says how the program is started when nobody is at a terminal; `[webhook]` where a service is told.
  At least one table is there, and `[webhook]` stands alone: a service has no terminal, and is not started.
- A file with a field too many, too few or of another type is refused when it is loaded, not when it is used.
- What says which programs run is the owner's alone: files and directories that others may write are refused.
"""

import os
import re
import stat
import tomllib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple

from bridge.adapters.presets.command import CommandData, PresetError, read_command
from bridge.adapters.presets.live import LiveData, read_live
from bridge.adapters.presets.screen import ScreenData, read_screen
from bridge.adapters.presets.webhook import WebhookData, read_webhook

NAME_FORM: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
FILE_BYTES_MAX: Final = 64 * 1024
FILES_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Preset:
    """One program's data: its input line, how it is started, or both; or where a service is told."""

    name: str
    looks: ScreenData | None = None
    command: CommandData | None = None
    webhook: WebhookData | None = None
    live: LiveData | None = None

    @property
    def screen(self) -> ScreenData:
        """How its input line looks. Raises NoScreenError where nobody said so."""
        if self.looks is None:
            raise NoScreenError(self.name)
        return self.looks


class _Table(NamedTuple):
    """One table of a preset's file: the field of `Preset` it becomes, and what reads it."""

    kept_as: str
    read: Callable[[str, dict[str, Any]], Any]


TABLES: Final = {
    "screen": _Table("looks", read_screen),
    "command": _Table("command", read_command),
    "webhook": _Table("webhook", read_webhook),
    "live": _Table("live", read_live),
}
_TABLE_NAMES: Final = ", ".join(f"[{name}]" for name in TABLES)


class UnknownPresetError(PresetError):
    """There is no preset of that name."""

    def __init__(self, name: str, presets_dir: Path | None = None) -> None:
        """Keep the name, and say which there are."""
        super().__init__(f"no preset {name!r}: there is {', '.join(preset_names(presets_dir))}")
        self.name = name


class NoScreenError(UnknownPresetError):
    """The preset does not say how the program's input line looks: it cannot be typed into."""

    def __init__(self, name: str) -> None:
        """Keep the name."""
        ValueError.__init__(self, f"preset {name!r} has no [screen]: it is for programs without a terminal")
        self.name = name


def preset_names(presets_dir: Path | None = None) -> list[str]:
    """The presets there are."""
    files = resources.files(__name__).iterdir()
    found = {file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")}
    return sorted(found | _own_names(presets_dir))


def load_preset(name: str, presets_dir: Path | None = None) -> Preset:
    """Read a preset, every value checked. Raises UnknownPresetError, or PresetError that says what is wrong."""
    if not NAME_FORM.fullmatch(name) or name not in preset_names(presets_dir):
        raise UnknownPresetError(name, presets_dir)
    try:
        data = tomllib.loads(_text(name, presets_dir))
    except (ValueError, RecursionError) as error:
        message = f"preset {name}: {error}"
        raise PresetError(message) from error
    if data.get("name") != name or not data.keys() <= {"name", *TABLES} or len(data) == 1:
        message = f"preset {name}: needs name = {name!r} and one of {_TABLE_NAMES}, nothing else"
        raise PresetError(message)
    given = {key: value for key, value in data.items() if key in TABLES}
    if not all(isinstance(table, dict) for table in given.values()):
        message = f"preset {name}: {_TABLE_NAMES} are tables"
        raise PresetError(message)
    if "live" in given and "screen" not in given:
        message = f"preset {name}: [live] needs [screen]: native ways stand beside it"
        raise PresetError(message)
    if "webhook" in given and len(given) > 1:
        message = f"preset {name}: [webhook] stands alone: a service has no terminal, and is not started"
        raise PresetError(message)
    return Preset(
        name, **{TABLES[key].kept_as: TABLES[key].read(name, table) for key, table in given.items()}
    )


def preset_of(names: Collection[str], presets_dir: Path | None = None, other: str = "line") -> str:
    """The preset that says it is for a program of one of these names; `other` where none does.

    The host's own presets are asked first; one that cannot be read is for nobody.
    """
    own = _own_names(presets_dir)
    for name in sorted(preset_names(presets_dir), key=lambda one: (one not in own, one)):
        try:
            preset = load_preset(name, presets_dir)
        except PresetError:
            continue
        if preset.live is not None and preset.looks is not None and set(names) & set(preset.live.programs):
            return name
    return other


def _own_names(presets_dir: Path | None) -> set[str]:
    try:
        if presets_dir is None or not presets_dir.is_dir():
            return set()
        files = sorted(file.name for file in presets_dir.iterdir() if file.name.endswith(".toml"))[:FILES_MAX]
    except OSError:  # it has none that could be used; the host's log says so (`Catalogue`)
        return set()
    return {name for file in files if NAME_FORM.fullmatch(name := file.removesuffix(".toml"))}


def _text(name: str, presets_dir: Path | None) -> str:
    if presets_dir is None or name not in _own_names(presets_dir):
        return (resources.files(__name__) / f"{name}.toml").read_text(encoding="utf-8")
    path = presets_dir / f"{name}.toml"
    try:
        _owned(name, presets_dir.stat(), presets_dir)
        with path.open("rb") as file:
            found = os.fstat(file.fileno())  # of what is read, not of what stands there a moment later
            _owned(name, found, path)
            text = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        message = f"preset {name}: {path} cannot be read: {error.strerror}"
        raise PresetError(message) from error
    if len(text) > FILE_BYTES_MAX:
        message = f"preset {name}: {path} is longer than {FILE_BYTES_MAX} bytes"
        raise PresetError(message)
    return text.decode()


def _owned(name: str, found: os.stat_result, path: Path) -> None:
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or found.st_uid not in {0, os.geteuid()}:
        message = f"preset {name}: {path} may be written by others: chmod go-w, and own it"
        raise PresetError(message)
