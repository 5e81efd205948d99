"""Screens of real programs, played from what they wrote (`recordings/`)."""

import re
from pathlib import Path

from bridge.terminal.screen import Screen

FOLDER = Path(__file__).resolve().parent / "recordings"
_SIZE = re.compile(rb"\x1b\[8;(\d+);(\d+)t")


def names() -> list[str]:
    """All that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.ansi"))


def written(name: str) -> bytes:
    """What the program wrote, sizes left in."""
    return (FOLDER / f"{name}.ansi").read_bytes()


def played(name: str) -> Screen:
    """The screen at the end of a recording."""
    _, *parts = _SIZE.split(written(name))
    sizes = [(int(cols), int(rows)) for rows, cols in zip(parts[0::3], parts[1::3], strict=True)]
    screen = Screen(*sizes[0])
    for size, data in zip(sizes, parts[2::3], strict=True):
        screen.resize(*size)
        screen.feed(data)
    return screen
