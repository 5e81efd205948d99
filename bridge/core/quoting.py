"""Other people's words, made fit to stand in a text of ours.

Rules of this file:

- What steers a terminal or deceives the eye (controls, escapes, bidi marks, letters nobody sees) is shown as
  `<U+202E>`, never passed on. Joiners that only shape what is seen are left out.
- Every line of theirs begins with the mark, so that no word of theirs passes for one of ours.
- Programs that agents run in (Claude Code, Gemini) take `@NAME` anywhere in a prompt as "read that file to the model",
  whoever wrote it: in what is quoted, `@` is shown as U+FF20.
- A cut is shown, and never goes through a letter.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

MARK = "> "
CUT = "…"
AT = "\uff20"
_STEERING = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_JOINERS = frozenset("\u200c\u200d\ufe0f")
_UNSEEN = frozenset(
    chr(code)
    for first, last in (
        (0x034F, 0x034F),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x2800, 0x2800),
        (0x3164, 0x3164),
        (0xFE00, 0xFE0E),
        (0xFFA0, 0xFFA0),
        (0xE0100, 0xE01EF),
    )
    for code in range(first, last + 1)
)
"""Letters and marks that show nothing and hide much: fillers, variation selectors."""
_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9._:@ -]")


def shown(letter: str) -> str:
    """The letter, or what stands for it."""
    if letter in _JOINERS:
        return ""
    if letter == "\t":
        return "    "
    if letter in _UNSEEN or unicodedata.category(letter) in _STEERING:
        return f"<U+{ord(letter):04X}>"
    return letter


def harmless(text: str, chars_max: int) -> str:
    """One line of visible letters, of at most `chars_max`; what was cut off is shown by `…`."""
    found: list[str] = []
    room = chars_max
    for letter in text:
        seen = shown(letter)
        if len(seen) > room:
            return _closed("".join(found), chars_max)
        found.append(seen)
        room -= len(seen)
    return "".join(found)


def quoted(text: str, *, chars_max: int, lines_max: int) -> tuple[str, ...]:
    """The text as marked lines, of `chars_max` letters in all: nothing in it can end a line or begin one unmarked."""
    lines = text.replace("\r\n", "\n").strip("\n").split("\n", maxsplit=lines_max)
    found: list[str] = []
    room = chars_max
    for line in lines[:lines_max]:
        if room <= 0:
            break
        found.append(MARK + harmless(line, room).replace("@", AT))
        room -= len(found[-1]) - len(MARK)
    if len(lines) > len(found) and not found[-1].endswith(CUT):
        found[-1] += CUT
    return tuple(found)


def label(text: str, chars_max: int = 128) -> str:
    """A name or id outside quotes: what such a name never has is shown as `?`."""
    return _NOT_IN_LABELS.sub("?", text)[:chars_max]


def harmless_json(value: Any) -> str:  # noqa: ANN401  JSON
    """The value as JSON on one line, as true as ever: what steers a terminal or deceives the eye is escaped in it."""
    return "".join(_escaped(letter) for letter in json.dumps(value, ensure_ascii=False))


def _escaped(letter: str) -> str:
    if letter == "\x7f":
        return "\\u007f"  # the one control that JSON lets stand
    return letter if shown(letter) == letter else json.dumps(letter)[1:-1]


def _closed(text: str, chars_max: int) -> str:
    return text[: max(0, chars_max - len(CUT))] + CUT
