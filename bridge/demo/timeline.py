"""The timeline: one line for each thing that happens, told as it happens.

Rules of this file:

- A line is: seconds since the start, the scene, who, what, and the evidence for it. It never wraps by itself, so that
  it can be pasted.
- Colours on a terminal, plain text elsewhere, JSON lines when asked for: the same content.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.text import Text

WHO_WIDTH = 9
INDENT = 23
WHAT_WIDTH = 62
COLOURS = {
    "reviewer": "cyan",
    "executor": "green",
    "planner": "magenta",
    "human": "bright_magenta",
    "deaf": "yellow",
    "builder": "bright_green",
    "sleeper": "yellow",
    "sre": "bright_cyan",
    "ci": "blue",
    "operator": "bright_white",
    "bridge": "bright_blue",
    "demo": "white",
    "failed": "bold red",
}


class Form(StrEnum):
    """How the timeline is written."""

    COLOUR = "colour"
    PLAIN = "plain"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened. Scene 0 is before, between and after the scenes."""

    at_s: float
    scene: int
    who: str
    what: str
    evidence: str = ""


def told(happening: Happening) -> Text:
    """The happening as one line."""
    scene = str(happening.scene) if happening.scene else " "
    line = Text()
    line.append(f"{happening.at_s:6.2f} s ", "dim")
    line.append(f" {scene} ", "bold")
    line.append(f" {happening.who:<{WHO_WIDTH}} ", COLOURS.get(happening.who, "white"))
    line.append(f"{happening.what:<{WHAT_WIDTH}}" if happening.evidence else happening.what)
    if happening.evidence:
        line.append(f"  {happening.evidence}", "dim")
    return line


class Timeline:
    """Writes what it is told, from any thread."""

    def __init__(
        self,
        form: Form,
        write: Callable[[str], None],
        *,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._form, self._write, self._clock = form, write, clock
        self._console = console or Console(highlight=False)
        self._began = clock()
        self._lock = threading.Lock()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._began

    def tell(self, scene: int, who: str, what: str, evidence: str = "") -> None:
        """Something happened just now."""
        happening = Happening(round(self.elapsed_s, 3), scene, who, what, evidence)
        self._out(told(happening), "happened", asdict(happening))

    def title(self, scene: int, words: str) -> None:
        """A scene begins."""
        self._out(Text(f"\n  {scene}  {words}", "bold"), "scene", {"scene": scene, "title": words})

    def quote(self, scene: int, lines: Sequence[str]) -> None:
        """What somebody was told, in its own lines."""
        text = Text("\n".join(f"{'':{INDENT}}| {line}" for line in lines), "dim")
        self._out(text, "quote", {"scene": scene, "lines": list(lines)})

    def page(self, title: str, rows: Sequence[str], data: Any) -> None:  # noqa: ANN401  anything that JSON knows
        """Some lines under a title; JSON gets `data` instead."""
        text = Text(f"\n  {title}\n", "bold")
        text.append("\n".join(f"    {row}" for row in rows), "not bold")
        self._out(text, title.split(" ", maxsplit=1)[0].lower().strip(":,"), {"data": data})

    def _out(self, text: Text, kind: str, data: dict[str, Any]) -> None:
        with self._lock:
            if self._form is Form.JSON:
                self._write(json.dumps({"kind": kind} | data, default=str))
            elif self._form is Form.PLAIN:
                self._write(text.plain)
            else:
                self._console.print(text, soft_wrap=True)
