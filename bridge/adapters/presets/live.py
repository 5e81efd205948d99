"""How a preset says which native ways a program has while it runs in a terminal: its queue, its record, its hooks.

Rules of this file:
- Native ways stand beside the screen, never instead of it: a preset with [live] has [screen] too.
- What is run (`[live.queue]`, hook commands in `settings`) is the owner's word, as all of a preset is.
- Forms are checked here, their groups too, so that nothing is found out at a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, NoReturn

from bridge.adapters.presets.command import PresetError

TEXT_MAX: Final = 8192
LIST_MAX: Final = 50
TIMEOUT_S_MAX: Final = 30.0
_TABLES: Final[dict[str, dict[str, type]]] = {
    "native": {"open_file": str},
    "queue": {"argv": list, "timeout_s": float, "refused": list},
    "record": {"open_file": str, "turn": str},
    "hooks": {"settings": str, "busy": str, "idle": str, "blocked": str, "taken": str, "native_id": str},
}
_GROUPS: Final = frozenset({("native", "open_file"), ("hooks", "taken"), ("hooks", "native_id")})
_NO_FORMS: Final = frozenset({("hooks", "settings")})
_PLACEHOLDERS: Final = {
    "append": frozenset({"hooks_file"}),
    "argv": frozenset({"program", "native_id", "line"}),
}


@dataclass(frozen=True, slots=True)
class LiveData:
    """The names of the programs it is for, and what `bridge.terminal.Live` works by."""

    programs: tuple[str, ...] = ()
    append: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    native_file: str = ""
    queue_argv: tuple[str, ...] = ()
    queue_timeout_s: float = 5.0
    queue_refused: tuple[str, ...] = ()
    record_file: str = ""
    record_turn: str = ""
    hook_settings: str = ""
    hook_busy: str = ""
    hook_idle: str = ""
    hook_blocked: str = ""
    hook_taken: str = ""
    hook_native: str = ""

    def arguments(self) -> dict[str, Any]:
        """All but the names of the programs, as keyword arguments."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "programs"}


def read_live(name: str, data: Mapping[str, Any]) -> LiveData:
    """The [live] of a preset, every value checked. Raises PresetError."""
    unknown = data.keys() - {"programs", "append", "unless", *_TABLES}
    if unknown:
        _refuse(name, f"has unknown fields: {', '.join(sorted(unknown))}")
    native, queue, record, hooks = (_table(name, key, data.get(key)) for key in _TABLES)
    if (queue or record) and not native:
        _refuse(name, "queue and record need [live.native]: whose session would they be of")
    append = _words(name, "append", data.get("append", []))
    if any("{hooks_file}" in word for word in append) and not hooks:
        _refuse(name, "append names {hooks_file}, but there is no [live.hooks]")
    programs = _words(name, "programs", data.get("programs", []))
    if any("/" in program for program in programs):
        _refuse(name, "programs are names, without a path")
    return LiveData(
        programs=programs,
        append=append,
        unless=_words(name, "unless", data.get("unless", [])),
        native_file=native.get("open_file", ""),
        queue_argv=_words(name, "argv", queue.get("argv", [])),
        queue_timeout_s=_timeout(name, queue.get("timeout_s", 5.0)),
        queue_refused=_words(name, "refused", queue.get("refused", [])),
        record_file=record.get("open_file", ""),
        record_turn=record.get("turn", ""),
        hook_settings=hooks.get("settings", ""),
        hook_busy=hooks.get("busy", ""),
        hook_idle=hooks.get("idle", ""),
        hook_blocked=hooks.get("blocked", ""),
        hook_taken=hooks.get("taken", ""),
        hook_native=hooks.get("native_id", ""),
    )


def _table(name: str, key: str, given: object) -> dict[str, Any]:
    """One of the tables, whole or not there."""
    if given is None:
        return {}
    shapes = _TABLES[key]
    if not isinstance(given, dict) or given.keys() != shapes.keys():
        _refuse(name, f"{key} has {', '.join(shapes)}, all of them and nothing else")
    for field, value in given.items():
        if shapes[field] is str:
            _text(name, key, field, value)
    for form in given.get("refused", []):
        _form(name, "refused", form)
    return dict(given)


def _text(name: str, key: str, field: str, value: object) -> None:
    if not isinstance(value, str) or len(value) > TEXT_MAX or not value:
        _refuse(name, f"{key}: {field} is a text")
    if (key, field) not in _NO_FORMS:
        groups = _form(name, field, value)
        if (key, field) in _GROUPS and groups != 1:
            _refuse(name, f"{key}: {field} has one group, for what is to be found")


def _form(name: str, what: str, form: object) -> int:
    """Check a regular expression; returns how many groups it has."""
    try:
        return re.compile(form.replace("{native_id}", "id") if isinstance(form, str) else form).groups  # type: ignore[call-overload,no-any-return]
    except (re.error, TypeError) as error:
        _refuse(name, f"{what}: {form!r} is no regular expression: {error}", error)


def _words(name: str, what: str, given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or len(given) > LIST_MAX:
        _refuse(name, f"{what} is a list of texts")
    for word in given:
        if not isinstance(word, str) or not word or "\0" in word or len(word) > TEXT_MAX:
            _refuse(name, f"{what} is a list of texts, none of them empty")
        if what in _PLACEHOLDERS:
            found = set(re.findall(r"\{([a-z_]+)\}", word)) - _PLACEHOLDERS[what]
            if found:
                _refuse(name, f"{what} has unknown placeholders: {', '.join(sorted(found))}")
    return tuple(given)


def _timeout(name: str, given: object) -> float:
    if type(given) not in (int, float) or not 0 < given <= TIMEOUT_S_MAX:  # type: ignore[operator]
        _refuse(name, f"timeout_s is a number of seconds up to {TIMEOUT_S_MAX:.0f}")
    return float(given)  # type: ignore[arg-type]


def _refuse(name: str, what: str, cause: Exception | None = None) -> NoReturn:
    message = f"preset {name}: [live] {what}"
    raise PresetError(message) from cause
