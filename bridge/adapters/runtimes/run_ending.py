"""What a program said of its own failure, read from the end of what it wrote, once nothing of it lives.

Rules of this file:

- A refusal counts only of a program that has not shown whose session it is: until then it wrote nothing that others
  may have said. What it tells of a trouble later is shown, and decides nothing.
- What is quoted is one line of printable characters, and short.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bridge.adapters.presets.command import CommandData, TroubleData
from bridge.core.states import SessionFound

TAIL_BYTES: Final = 256 * 1024
WORDS_MAX: Final = 200
_WORDS: Final = {
    SessionFound.GONE: "it does not know the session any more",
    SessionFound.ELSEWHERE: "another program has the session open",
}


def found_by(command: CommandData, output: Path) -> tuple[SessionFound | None, str]:
    """Why it could not go on with its session, where it said so, and that in words."""
    if not command.refusals:
        return None, ""
    for line in sorted(_lines(output), key=len):  # the plainest of those that say it
        for found, patterns in command.refusals.items():
            if any(re.search(pattern, line) for pattern in patterns):
                return SessionFound(found), f"{_WORDS[SessionFound(found)]}: {_short(line)}"
    return None, ""


def trouble_in(command: CommandData, output: Path) -> str:
    """What it told of a failure that its exit status may hide; "" when it told of none. The last one counts."""
    if not command.troubles:
        return ""
    told = [words for line in _lines(output) for words in _troubles(command.troubles, line)]
    return told[-1] if told else ""


def _troubles(troubles: tuple[TroubleData, ...], line: str) -> Iterator[str]:
    if not line.startswith("{"):
        return
    try:
        said: Any = json.loads(line)
    except (ValueError, RecursionError):
        return
    for trouble in troubles:
        if all(said.get(name, _NOTHING) == value for name, value in trouble.event.items()):
            value = said.get(trouble.field)
            if value:
                yield f"{trouble.says}: {_short(value if isinstance(value, str) else json.dumps(value))}"


_NOTHING: Final = object()


def _lines(output: Path) -> list[str]:
    try:
        with output.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def _short(text: str) -> str:
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return plain if len(plain) <= WORDS_MAX else f"{plain[: WORDS_MAX - 1]}…"
