"""How a preset says what its program's input line looks like; `bridge run` and `bridge attach` judge by it.

There are two kinds, each with fields of its own, all of them to be given: nobody guesses how a screen looks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, Final, NoReturn

from bridge.adapters.presets.command import PresetError

SETTLED_S_MAX: Final = 10.0
ROWS_MAX: Final = 100
STYLES: Final = frozenset({"bold", "faint", "inverse", "italic"})
_EITHER: Final[dict[str, type]] = {
    "questions": list,
    "working": list,
    "working_rows": int,
    "paste_required": bool,
}
_KINDS: Final[dict[str, dict[str, type]]] = {
    "line": {"prompt": str, "alternate": bool},
    "box": {
        "marker": str,
        "marker_styles": list,
        "text_column": int,
        "rule": str,
        "rows_below": int,
        "cursor_shown": bool,
        "placeholder": str,
        "placeholder_always": bool,
    },
}


@dataclass(frozen=True, slots=True)
class ScreenData:
    """How a program shows its input line: regular expressions, letters, numbers and switches."""

    questions: tuple[str, ...]
    working: tuple[str, ...]
    working_rows: int
    paste_required: bool
    kind: str = "line"
    settled_s: float = 0.3
    prompt: str = ""
    alternate: bool = False
    marker: str = ""
    marker_styles: tuple[str, ...] = ()
    text_column: int = 2
    rule: str = ""
    rows_below: int = 0
    cursor_shown: bool = True
    placeholder: str = "faint"
    placeholder_always: bool = False

    def arguments(self) -> dict[str, Any]:
        """The same as keyword arguments."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def read_screen(name: str, data: dict[str, Any]) -> ScreenData:
    """The [screen] of a preset, every value checked. Raises PresetError."""
    kind, settled_s = data.get("kind", "line"), data.get("settled_s", 0.3)
    own = _KINDS.get(kind) if isinstance(kind, str) else None
    if own is None:
        _refuse(name, f"kind is one of {', '.join(sorted(_KINDS))}")
    if type(settled_s) not in (int, float) or not 0 <= settled_s <= SETTLED_S_MAX:
        _refuse(name, f"settled_s is a number of seconds up to {SETTLED_S_MAX:.0f}")
    shapes = _EITHER | own
    given = {key: value for key, value in data.items() if key not in ("kind", "settled_s")}
    wrong = {key for key in given.keys() | shapes.keys() if type(given.get(key)) is not shapes.get(key)}
    if wrong:
        _refuse(name, f"has wrong, missing or unknown fields: {', '.join(sorted(wrong))}")
    for form in [given.get("prompt", ""), *given["questions"], *given["working"]]:
        _check_form(name, form)
    if kind == "box":
        _check_box(name, given)
    lists = {key: tuple(value) for key, value in given.items() if isinstance(value, list)}
    return ScreenData(kind=kind, settled_s=float(settled_s), **(given | lists))


def _check_form(name: str, form: Any) -> None:  # noqa: ANN401  whatever the file has there
    try:
        re.compile(form)
    except (re.error, TypeError) as error:
        _refuse(name, f"{form!r} is no regular expression: {error}", error)


def _check_box(name: str, given: dict[str, Any]) -> None:
    if len(given["marker"]) != 1 or not given["marker"].strip():
        _refuse(name, "marker is one letter")
    if len(given["rule"]) > 1:
        _refuse(name, "rule is one letter, or empty")
    if not all(isinstance(style, str) and style in STYLES for style in given["marker_styles"]):
        _refuse(name, f"marker_styles are of {', '.join(sorted(STYLES))}")
    if given["placeholder"] not in STYLES:
        _refuse(name, f"placeholder is one of {', '.join(sorted(STYLES))}")
    if not 1 <= given["text_column"] <= ROWS_MAX or not 0 <= given["rows_below"] <= ROWS_MAX:
        _refuse(name, f"text_column is from 1, rows_below from 0 to {ROWS_MAX}")


def _refuse(name: str, what: str, cause: Exception | None = None) -> NoReturn:
    message = f"preset {name}: [screen] {what}"
    raise PresetError(message) from cause
