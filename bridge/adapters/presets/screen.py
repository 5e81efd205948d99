"""How a preset says what its program's input line looks like; `bridge run` and `bridge attach` judge by it."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

from bridge.adapters.presets.command import PresetError


@dataclass(frozen=True, slots=True)
class ScreenData:
    """How a program shows its input line: regular expressions and switches."""

    prompt: str
    questions: tuple[str, ...]
    working: tuple[str, ...]
    working_rows: int
    paste_required: bool
    alternate: bool
    kind: str = "line"
    settled_s: float = 0.3

    def arguments(self) -> dict[str, Any]:
        """The same as keyword arguments."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def read_screen(name: str, data: dict[str, Any]) -> ScreenData:
    """The [screen] of a preset, every value checked. Raises PresetError."""
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
        raise PresetError(message)
    for form in [data["prompt"], *data["questions"], *data["working"]]:
        try:
            re.compile(form)
        except (re.error, TypeError) as error:
            message = f"preset {name}: [screen] {form!r} is no regular expression: {error}"
            raise PresetError(message) from error
    return ScreenData(**(data | {key: tuple(data[key]) for key in ("questions", "working")}))
