"""The model of the agent's screen: a real emulator, hidden behind a handful of methods.

Rules of this file:
- The only file that knows which emulator it is. Nothing of it leaks out but text, numbers and bytes.
- `resets` and `restores` name only what the model holds: a terminal is given back as it was, not as we
  imagine it.
"""

import functools
import unicodedata
from collections.abc import Callable
from typing import Any, Final

import pyghostty
from pyghostty import ffi, lib

from bridge.terminal.verdict import Frame

SYNCHRONIZED: Final = 2026
BRACKETED_PASTE: Final = 2004
_ALTERNATE: Final = (1049, 1047, 47)
_OFF_AT_REST: Final = (1, 9, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 2026, 2031, 2048)
_ON_AT_REST: Final = (7, 25)
_GRAPHEME_MAX: Final = 16
_WIDE: Final = frozenset({"W", "F"})
_JOINED: Final = frozenset({"Mn", "Me", "Mc", "Cf", "Cn", "Co", "Cs"})
_STYLES: Final = ("bold", "faint", "inverse", "italic")


def _has_a_letter_a_cell(line: str) -> bool:
    # Asking the emulator for each cell costs milliseconds a screen.
    return line.isascii() or all(map(_fills_one_cell, line))


@functools.lru_cache(maxsize=4096)
def _fills_one_cell(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) not in _WIDE and unicodedata.category(letter) not in _JOINED


class Screen:
    """What the agent's terminal shows."""

    def __init__(self, cols: int, rows: int) -> None:
        """Start blank, cursor top left."""
        self._terminal: Any = pyghostty.Terminal(cols=cols, rows=rows, scrollback=0)
        self._main_kitty = False

    def feed(self, data: bytes) -> None:
        """Let the agent's output happen."""
        self._terminal.feed(data)

    def answer_with(self, reply: Callable[[bytes], None]) -> None:
        """Answer the agent's questions (where is the cursor?) through `reply`, for want of a terminal."""
        self._terminal.on_reply(reply)

    def resize(self, cols: int, rows: int) -> None:
        """Take a new size, reflowing as a terminal does."""
        self._terminal.resize(max(cols, 1), max(rows, 1))

    def mode(self, number: int) -> bool:
        """Whether a private mode is set."""
        return bool(self._terminal.mode(number))

    def style(self, x: int, y: int) -> frozenset[str]:
        """The styles of one cell: bold, faint, inverse, italic."""
        style = self._terminal.style(x, y)
        return frozenset(name for name in _STYLES if style[name])

    def frame(self) -> Frame:
        """Take a snapshot for the judge."""
        cols, rows = self._terminal.size
        x, y = self._terminal.cursor
        until = x + 1 if self._get("cursor_pending_wrap", "bool") else x
        lines = self._terminal.text().split("\n")
        lines += [""] * (rows - len(lines))
        first, last = y, y
        while first > 0 and self._continues(first):
            first -= 1
        while last + 1 < rows and self._continues(last + 1):
            last += 1
        before = "".join(self._cells(lines[row], row, 0, cols) for row in range(first, y))
        after = "".join(self._cells(lines[row], row, 0, cols) for row in range(y + 1, last + 1))
        return Frame(
            left=before + self._cells(lines[y], y, 0, until),
            right=self._cells(lines[y], y, until, cols) + after,
            above=tuple(lines[:first]),
            cursor=(x, y),
            alternate=self.alternate,
            cursor_visible=bool(self._get("cursor_visible", "bool")),
            style=self.style,
            rows=tuple(self._row(lines[row], row, cols) for row in range(rows)),
        )

    def place(self, x: int, y: int, *, visible: bool = True) -> None:
        """Put the cursor into a cell, shown or hidden: for a screen that was copied without its cursor."""
        self.feed(b"\x1b[0m\x1b[%d;%dH\x1b[?25%c" % (y + 1, x + 1, b"h" if visible else b"l"))

    def resets(self) -> bytes:
        """The bytes that give a terminal in this state back to a shell."""
        alternate = [mode for mode in _ALTERNATE if self.mode(mode)]
        kitty = bool(self._get("kitty_keyboard_flags", "uint8_t"))
        if not alternate:
            self._main_kitty = kitty
        out = b"\x1b[<u\x1b[=0u" if kitty else b""
        out += b"".join(b"\x1b[?%dl" % mode for mode in _OFF_AT_REST if self.mode(mode))
        out += b"".join(b"\x1b[?%dh" % mode for mode in _ON_AT_REST if not self.mode(mode))
        if alternate:
            # The flags of the keyboard are per screen: what was pushed before the switch comes back with it.
            out += b"\x1b[?%dl" % alternate[0] + (b"\x1b[<u\x1b[=0u" if self._main_kitty else b"")
        return out + b"\x1b[0m"

    def restores(self) -> bytes:
        """The bytes that bring a terminal that was given back into this state again."""
        flags = int(self._get("kitty_keyboard_flags", "uint8_t"))
        out = b"".join(b"\x1b[?%dh" % mode for mode in _ALTERNATE[:1] if self.mode(mode))
        held = [mode for mode in _OFF_AT_REST if mode != SYNCHRONIZED and self.mode(mode)]
        out += b"".join(b"\x1b[?%dh" % mode for mode in held)
        out += b"".join(b"\x1b[?%dl" % mode for mode in _ON_AT_REST if not self.mode(mode))
        return out + (b"\x1b[>%du" % flags if flags else b"")

    @property
    def alternate(self) -> bool:
        """Whether the agent has switched to the alternate screen."""
        return any(self.mode(mode) for mode in _ALTERNATE)

    def _get(self, key: str, kind: str) -> Any:  # noqa: ANN401  a number or a flag, as the key says
        return self._terminal.get(key, kind)

    def _continues(self, y: int) -> bool:
        row = ffi.new("GhosttyRow*")
        found = ffi.new("bool*")
        lib.ghostty_grid_ref_row(self._terminal.ref(0, y), row)
        lib.ghostty_row_get(row[0], lib.GHOSTTY_ROW_DATA_WRAP_CONTINUATION, found)
        return bool(found[0])

    def _cells(self, line: str, y: int, start: int, end: int) -> str:
        if _has_a_letter_a_cell(line):
            return line.ljust(end)[start:end]
        return "".join(self._cell(x, y) for x in range(start, end))

    def _row(self, line: str, y: int, cols: int) -> tuple[str, ...]:
        if _has_a_letter_a_cell(line):
            return tuple(line.ljust(cols))
        return tuple(self._cell(x, y) for x in range(cols))

    def _cell(self, x: int, y: int) -> str:
        count = ffi.new("size_t*")
        buf = ffi.new(f"uint32_t[{_GRAPHEME_MAX}]")
        ref = self._terminal.ref(x, y)
        lib.ghostty_grid_ref_graphemes(ref, buf, _GRAPHEME_MAX, count)
        if count[0]:
            return "".join(map(chr, buf[0 : min(count[0], _GRAPHEME_MAX)]))
        return "" if self._is_tail(ref) else " "

    @staticmethod
    def _is_tail(ref: Any) -> bool:  # noqa: ANN401  a reference of the emulator's
        cell = ffi.new("GhosttyCell*")
        wide = ffi.new("GhosttyCellWide*")
        lib.ghostty_grid_ref_cell(ref, cell)
        lib.ghostty_cell_get(cell[0], lib.GHOSTTY_CELL_DATA_WIDE, wide)
        return bool(wide[0] in (lib.GHOSTTY_CELL_WIDE_SPACER_TAIL, lib.GHOSTTY_CELL_WIDE_SPACER_HEAD))
