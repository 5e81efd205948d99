"""A search as people write it, and the part of a text that shows why it was found.

Rules of this file:

- Words are separated by blanks and by punctuation, in a message and in what is asked alike: `core/wake.py` is three
  words, and asks for them next to each other, as `"core wake py"` does.
- `-word` and `-"some words"` exclude, `or` between two words asks for either, everything else has to be there.
- A snippet is plain text with the places of the words in it: what is done with them is the reader's affair.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bridge.core.errors import InvalidArgument

QUERY_CHARS_MAX = 500
SNIPPET_CHARS_MAX = 240
BEFORE_CHARS_MAX = 80
MARKS_MAX = 20
CUT = "…"
_TERM = re.compile(r'(-?)"([^"]*)"?|(-?)([^\s"]+)')
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked: `query` in Postgres' websearch syntax, `words` the ones that may be shown."""

    query: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snippet:
    """A part of a text on one line; `marks`: where its words stand in it, from and to, in characters."""

    text: str
    marks: tuple[tuple[int, int], ...]


def wanted(q: str) -> Wanted:
    """What the query asks for. Raises InvalidArgument where it names no word to look for."""
    parts: list[str] = []
    shown: dict[str, None] = {}
    for minus, phrase, bare_minus, bare in _TERM.findall(q):
        words = _WORD.findall(phrase or bare)
        without = minus or bare_minus
        if bare.lower() == "or":
            parts.append("or")
        elif words:
            quoted = phrase or len(words) > 1
            parts.append(without + (f'"{" ".join(words)}"' if quoted else words[0]))
            shown |= {} if without else dict.fromkeys(words)
    if not shown:
        raise InvalidArgument(
            "name a word to look for: letters or digits, not only what to leave out", path="q"
        )
    return Wanted(" ".join(parts), tuple(shown))


def snippet(text: str, words: tuple[str, ...]) -> Snippet:
    """The part of the text around the first of the words in it; its beginning where none is found."""
    line = " ".join(text.split())
    either = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    pattern = re.compile(rf"(?<![^\W_])(?:{either})(?![^\W_])", re.IGNORECASE)
    first = pattern.search(line)
    begin = max(0, first.start() - BEFORE_CHARS_MAX) if first else 0
    shown = line[begin : begin + SNIPPET_CHARS_MAX]
    head, tail = CUT if begin else "", CUT if begin + len(shown) < len(line) else ""
    places = [found.span() for found in pattern.finditer(line, begin, begin + len(shown))][:MARKS_MAX]
    shift = len(head) - begin
    return Snippet(head + shown + tail, tuple((start + shift, end + shift) for start, end in places))
