"""How a preset says its program is started: argv, environment, and which session it answers as.

Rules of this file:

- An argument is one string with placeholders; each is filled in place, once, and the whole stays one argument.
  There is no shell. Braces around anything but a known name are themselves.
- No value of a placeholder becomes an option: an argument that would start with a value that starts with "-"
  is refused. The program itself is never named by a value.
- Prompts never stand in argv: they come on stdin.
- What a program says of its own failure is looked for as data says. A refusal counts only as long as it has not
  shown whose session it is: until then nothing in its output comes from anybody else.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from bridge.core.states import SessionFound

PLACEHOLDERS: Final = frozenset({"session_id", "native_id", "agent_id", "workspace_id", "run_id", "python"})
NAMES: Final = ("chosen", "told")  # who names a new session: we, or the program
RUNGS: Final = ("resume", "spawn")
ARGUMENTS_MAX: Final = 200
VARIABLES_MAX: Final = 200
PATTERNS_MAX: Final = 20
TEXT_MAX: Final = 8192
RESERVED: Final = "BRIDGE_"
REFUSALS: Final = frozenset(item.value for item in SessionFound)

_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class PresetError(ValueError):
    """A preset that cannot be used; the words say why."""


class ArgumentError(ValueError):
    """A value that must not stand where the preset puts it."""


@dataclass(frozen=True, slots=True)
class IdentityData:
    """The line that proves the session: the first JSON object with the fields of `event`; the id is in `field`."""

    event: Mapping[str, str | int | bool]
    field: str


@dataclass(frozen=True, slots=True)
class TroubleData:
    """A line that tells of a failure, which the exit status may hide: it has these fields, and `field` is not empty."""

    event: Mapping[str, str | int | bool]
    field: str
    says: str


@dataclass(frozen=True, slots=True)
class CommandData:
    """How to start the program on each rung. Without `identity` its first line of output is the proof.

    `native_form`: what its names of sessions look like, as a pattern for the whole name. `refusals`: by what it found,
    the patterns of a line with which it says that it cannot go on with a session.
    """

    argv: Mapping[str, tuple[str, ...]]
    native: str = "chosen"
    cwd: str | None = None
    environment: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    identity: IdentityData | None = None
    native_form: str | None = None
    refusals: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    troubles: tuple[TroubleData, ...] = ()

    def programs(self, worker: Mapping[str, str]) -> dict[str, bool]:
        """By rung, whether there is the program that it starts, for a worker with these variables."""
        allowed = worker.get("PATH") if "PATH" in self.environment else None
        path = self.settings.get("PATH", allowed) or os.defpath
        return {rung: _is_there(self.argv[rung][0], path) for rung in self.rungs}

    def names_session(self, native_id: str) -> bool:
        """Whether a session of this program can have that name."""
        return self.native_form is None or bool(re.fullmatch(self.native_form, native_id))

    @property
    def rungs(self) -> list[str]:
        """What it can do."""
        return [rung for rung in RUNGS if rung in self.argv]


def _is_there(program: str, path: str) -> bool:
    return program.startswith("{") or shutil.which(program, path=path) is not None


def fill(template: tuple[str, ...], values: Mapping[str, str]) -> list[str]:
    """The arguments with their values in place. Raises ArgumentError for one that must not stand there."""
    for name, value in values.items():
        if "\0" in value or not value:
            message = f"{name} is empty or has a NUL in it"
            raise ArgumentError(message)
    return [_filled(argument, values) for argument in template]


def _filled(argument: str, values: Mapping[str, str]) -> str:
    filled = _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), argument)
    if _PLACEHOLDER.match(argument) and filled.startswith("-"):
        message = f"{argument} would become the option {filled[:40]!r}"
        raise ArgumentError(message)
    return filled


def read_command(name: str, data: Mapping[str, Any]) -> CommandData:
    """The [command] of a preset, every value checked. Raises PresetError."""
    known = {*RUNGS, "cwd", "environment", "set", "identity", "native", "native_form", "refusals", "troubles"}
    if data.keys() - known:
        _refuse(name, f"has unknown fields: {', '.join(sorted(data.keys() - known))}")
    argv = {rung: _argv(name, rung, data[rung]) for rung in RUNGS if rung in data}
    if not argv:
        _refuse(name, "needs resume or spawn, or both")
    native = data.get("native", "chosen")
    if native not in NAMES:
        _refuse(name, "native is 'chosen' (we name a new session) or 'told' (the program does)")
    identity = _identity(name, data["identity"]) if "identity" in data else None
    if native == "told" and identity is None and "spawn" in argv:
        _refuse(name, "native = 'told' needs [command.identity]: how else would we be told")
    cwd = data.get("cwd")
    if cwd is not None and not (_text(cwd) and cwd.startswith("/")):
        _refuse(name, "cwd is an absolute path")
    return CommandData(
        argv,
        native,
        cwd,
        _variables(name, data),
        _settings(name, data.get("set", {})),
        identity,
        _pattern(name, "native_form", data["native_form"]) if "native_form" in data else None,
        _refusals(name, data.get("refusals", {})),
        _troubles(name, data.get("troubles", [])),
    )


def _argv(name: str, rung: str, given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or not 0 < len(given) <= ARGUMENTS_MAX or not all(map(_text, given)):
        _refuse(name, f"{rung} is a list of arguments, the program first; none is empty")
    unknown = {found for argument in given for found in _PLACEHOLDER.findall(argument)} - PLACEHOLDERS
    if unknown:
        _refuse(name, f"{rung} has unknown placeholders: {', '.join(sorted(unknown))}")
    if set(_PLACEHOLDER.findall(given[0])) - {"python"}:
        _refuse(name, f"{rung} starts with a value: the program is fixed")
    return tuple(given)


def _variables(name: str, data: Mapping[str, Any]) -> tuple[str, ...]:
    given = data.get("environment", [])
    if not isinstance(given, list) or len(given) > VARIABLES_MAX or not all(map(_variable, given)):
        _refuse(name, f"environment is a list of names of variables; {RESERVED}... is not for it")
    return tuple(given)


def _settings(name: str, given: object) -> Mapping[str, str]:
    if not isinstance(given, dict) or len(given) > VARIABLES_MAX:
        _refuse(name, "set is a table of variables")
    if not all(_variable(key) and _text(value, empty=True) for key, value in given.items()):
        _refuse(name, f"set gives texts to variables; {RESERVED}... is not for it")
    return dict(given)


def _identity(name: str, given: object) -> IdentityData:
    if not isinstance(given, dict) or not given.keys() <= {"match", "event", "field"}:
        _refuse(name, "identity has match, event and field, nothing else")
    if given.get("match") != "json" or not _text(given.get("field")):
        _refuse(name, "identity needs match = 'json' and field = 'NAME'")
    return IdentityData(_event(name, "identity", given.get("event", {})), given["field"])


def _event(name: str, what: str, given: object) -> Mapping[str, str | int | bool]:
    if not isinstance(given, dict):
        _refuse(name, f"{what}: event is a table")
    if not all(isinstance(value, str | int | bool) for value in given.values()):
        _refuse(name, f"{what}: the fields of event are texts, whole numbers or booleans")
    return dict(given)


def _refusals(name: str, given: object) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(given, dict) or not given.keys() <= REFUSALS:
        _refuse(name, f"refusals has {', '.join(sorted(REFUSALS))}, nothing else")
    for found, patterns in given.items():
        if not isinstance(patterns, list) or not 0 < len(patterns) <= PATTERNS_MAX:
            _refuse(name, f"refusals: {found} is a list of patterns")
    return {
        found: tuple(_pattern(name, f"refusals: {found}", one) for one in patterns)
        for found, patterns in given.items()
    }


def _troubles(name: str, given: object) -> tuple[TroubleData, ...]:
    if not isinstance(given, list) or len(given) > PATTERNS_MAX:
        _refuse(name, "troubles is a list of tables")
    return tuple(_trouble(name, one) for one in given)


def _trouble(name: str, given: object) -> TroubleData:
    if not isinstance(given, dict) or given.keys() != {"event", "field", "says"}:
        _refuse(name, "each of troubles has event, field and says, nothing else")
    if not _text(given["field"]) or not _text(given["says"]):
        _refuse(name, "troubles: field and says are texts")
    return TroubleData(_event(name, "troubles", given["event"]), given["field"], given["says"])


def _pattern(name: str, what: str, given: object) -> str:
    if not isinstance(given, str) or not _text(given):
        _refuse(name, f"{what} is a pattern")
    try:
        re.compile(given)
    except re.error as error:
        _refuse(name, f"{what}: {error}")
    return given


def _variable(given: object) -> bool:
    return isinstance(given, str) and bool(_VARIABLE.fullmatch(given)) and not given.startswith(RESERVED)


def _text(given: object, *, empty: bool = False) -> bool:
    return isinstance(given, str) and "\0" not in given and len(given) <= TEXT_MAX and (empty or bool(given))


def _refuse(name: str, what: str) -> NoReturn:
    message = f"preset {name}: [command] {what}"
    raise PresetError(message)
