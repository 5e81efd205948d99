"""Presets: what the bridge knows about one kind of agent program, as data.

Rules of this folder:
- One TOML file a program, plain values only; the name of the file is the name of the preset.
- `screen` says how the program's input line looks. It is handed to `bridge run` as keyword arguments, so
  its fields are exactly those of `bridge.terminal.Rules`; a test compares the two.
- A file with a field too many, too few or of another type is refused when it is loaded, not when it is used.
"""

import re
import tomllib
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any, Final

NAME_FORM: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class ScreenData:
    """How a program shows its input line: regular expressions and switches."""

    prompt: str
    questions: tuple[str, ...]
    working: tuple[str, ...]
    working_rows: int
    paste_required: bool
    alternate: bool

    def arguments(self) -> dict[str, Any]:
        """The same as keyword arguments."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Preset:
    """One program's data."""

    name: str
    screen: ScreenData


class UnknownPresetError(ValueError):
    """There is no preset of that name."""

    def __init__(self, name: str) -> None:
        """Keep the name, and say which there are."""
        super().__init__(f"no preset {name!r}: there is {', '.join(preset_names())}")
        self.name = name


def preset_names() -> list[str]:
    """The presets there are."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_preset(name: str) -> Preset:
    """Read a preset, every value checked."""
    if not NAME_FORM.fullmatch(name) or name not in preset_names():
        raise UnknownPresetError(name)
    data = tomllib.loads((resources.files(__name__) / f"{name}.toml").read_text(encoding="utf-8"))
    if set(data) != {"name", "screen"} or data["name"] != name:
        message = f"preset {name}: needs name = {name!r} and [screen], nothing else"
        raise ValueError(message)
    return Preset(name, _screen(name, data["screen"]))


def _screen(name: str, data: dict[str, Any]) -> ScreenData:
    shapes: dict[str, type] = {
        "prompt": str,
        "questions": list,
        "working": list,
        "working_rows": int,
        "paste_required": bool,
        "alternate": bool,
    }
    wrong = {key for key in data.keys() | shapes.keys() if type(data.get(key)) is not shapes.get(key)}
    if wrong:
        message = f"preset {name}: [screen] has wrong, missing or unknown fields: {', '.join(sorted(wrong))}"
        raise ValueError(message)
    for form in [data["prompt"], *data["questions"], *data["working"]]:
        re.compile(form)
    return ScreenData(**(data | {key: tuple(data[key]) for key in ("questions", "working")}))
