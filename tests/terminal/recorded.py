"""Screens of real programs, played from what they wrote (`recordings/`)."""

import re
from collections.abc import Callable, Iterator
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
    *_, screen = cut(name, lambda: len(written(name)))
    return screen


def cut(name: str, length: Callable[[], int]) -> Iterator[Screen]:
    """The screen after each piece of a recording, so long as `length` says."""
    _, *parts = _SIZE.split(written(name))
    screen = Screen(int(parts[1]), int(parts[0]))
    for rows, cols, data in zip(parts[0::3], parts[1::3], parts[2::3], strict=True):
        screen.resize(int(cols), int(rows))
        at = 0
        while at < len(data):
            piece = data[at : at + length()]
            at += len(piece)
            screen.feed(piece)
            yield screen
