"""The judge of a program that draws an input box of its own, anywhere on the screen.

Rules of this file:
- What differs between programs is data (`Rules`); no program is named here.
- A box is recognised by its marker and by the cursor in it. A row that only looks like one (an old prompt in the
  transcript, the first choice of a menu) has another style, no cursor, or no rules around it.
- EMPTY is the narrow one: every letter that is not shown as a placeholder makes a draft, and so does a cursor that
  is not at its start. No box found is a dialog or unknown, and then the box is covered.
- The screen is the whole truth: nothing is remembered from one frame to the next, keys are not counted.
"""

import re
from dataclasses import dataclass
from typing import Final

from bridge.terminal.verdict import Frame, Rules, Seen, Verdict

ROWS_MIN: Final = 6
"""On a lower screen a program leaves out what a box is known by."""
QUESTION_ROWS: Final = 14
_RULE_CELLS_MIN: Final = 4


@dataclass(frozen=True, slots=True)
class _Box:
    """The rows of a box, first and last."""

    top: int
    last: int


class BoxJudge:
    """Looks at frames, each for itself."""

    def __init__(self, rules: Rules) -> None:
        """Compile the rules."""
        self._rules = rules
        self._marker_styles = frozenset(rules.marker_styles)
        self._questions = [re.compile(form) for form in rules.questions]
        self._working = [re.compile(form) for form in rules.working]
        self.verdict = Verdict(Seen.UNKNOWN, covered=True)

    def look(self, frame: Frame, *, hidden: bool = False) -> Verdict:
        """Judge a frame, and keep the verdict; `hidden`: what is typed now is not shown, as for a password."""
        self.verdict = Verdict(Seen.DIALOG, covered=True) if hidden else self._read(frame)
        return self.verdict

    def sent(self, data: bytes, *, pasted: bool = False, canonical: bool = True) -> None:
        """Nothing is learnt from bytes on their way."""

    def _read(self, frame: Frame) -> Verdict:
        box = self._find(frame)
        under = [_text(row) for row in frame.rows[(box.top + 1 if box else _last_rows(frame)) :]]
        if any(form.search(row) for form in self._questions for row in under):
            return Verdict(Seen.DIALOG, covered=True)
        if box is None:
            return Verdict(Seen.UNKNOWN, covered=True)
        drafted, line = self._inside(frame, box)
        if self._works(frame, box):
            return Verdict(Seen.BUSY, line=line)
        if not drafted and self._is_empty(frame, box):
            return Verdict(Seen.EMPTY)
        if drafted or not self._at_start(frame, box):
            return Verdict(Seen.DRAFT, line, line)
        return Verdict(Seen.UNKNOWN, covered=True)

    def _find(self, frame: Frame) -> _Box | None:
        """The box that the cursor is in: up to its marker, down to its end."""
        x, y = frame.cursor
        if frame.cursor_visible is not self._rules.cursor_shown or x < self._rules.text_column:
            return None
        if len(frame.rows) < ROWS_MIN or not 0 <= y < len(frame.rows):
            return None
        top = y
        while not self._is_marked(frame, top):
            if top == 0 or not self._is_indented(frame, top):
                return None
            top -= 1
        last = y
        while last + 1 < len(frame.rows) and self._goes_on(frame, last + 1):
            last += 1
        if self._rules.rule and not (self._is_rule(frame, top - 1) and self._is_rule(frame, last + 1)):
            return None
        return _Box(top, last)

    def _goes_on(self, frame: Frame, y: int) -> bool:
        # Between rules everything belongs to the box; without them it ends at the first blank row.
        return self._is_indented(frame, y) and (bool(self._rules.rule) or bool(_text(frame.rows[y])))

    def _is_marked(self, frame: Frame, y: int) -> bool:
        row = frame.rows[y]
        return (
            _cell(row, 0) == self._rules.marker
            and frame.style(0, y) == self._marker_styles
            and all(not _cell(row, x).strip() for x in range(1, self._rules.text_column))
        )

    def _is_indented(self, frame: Frame, y: int) -> bool:
        return all(not _cell(frame.rows[y], x).strip() for x in range(self._rules.text_column))

    def _is_rule(self, frame: Frame, y: int) -> bool:
        """Whether a row is a rule from side to side; there may be a label on it."""
        if not 0 <= y < len(frame.rows):
            return False
        row, rule = frame.rows[y], self._rules.rule
        return row.count(rule) >= _RULE_CELLS_MIN and row[0] == rule and row[-1] == rule

    def _inside(self, frame: Frame, box: _Box) -> tuple[bool, str]:
        """Whether anything but a placeholder stands in the box, and what."""
        drafted = False
        rows: list[str] = []
        for y in range(box.top, box.last + 1):
            row = frame.rows[y]
            drafted = drafted or any(
                row[x].strip() and not self._is_placeholder(frame, x, y)
                for x in range(self._rules.text_column, len(row))
            )
            rows.append("".join(row[self._rules.text_column :]).rstrip())
        return drafted, "\n".join(rows) if drafted else ""

    def _is_placeholder(self, frame: Frame, x: int, y: int) -> bool:
        style = frame.style(x, y)
        if self._rules.placeholder in style:
            return True
        # A cursor that is drawn as a cell of its own hides the style of the letter under it.
        drawn = not self._rules.cursor_shown and "inverse" in style and (x, y) == frame.cursor
        after = _cell(frame.rows[y], x + 1).strip()
        return drawn and bool(after) and self._rules.placeholder in frame.style(x + 1, y)

    def _at_start(self, frame: Frame, box: _Box) -> bool:
        return frame.cursor == (self._rules.text_column, box.top)

    def _is_empty(self, frame: Frame, box: _Box) -> bool:
        if not self._at_start(frame, box) or box.last != box.top:
            return False
        if self._rules.placeholder_always and not _text(frame.rows[box.top][self._rules.text_column :]):
            return False
        if self._rules.rule:
            return True
        under = [bool(_text(row)) for row in frame.rows[box.last + 1 :]]
        height = max((at + 1 for at, shown in enumerate(under) if shown), default=0)
        return not any(under[:1]) and height <= self._rules.rows_below

    def _works(self, frame: Frame, box: _Box) -> bool:
        first = max(0, box.top - self._rules.working_rows)
        around = [*frame.rows[first : box.top], *frame.rows[box.last + 1 :]]
        return any(form.search(_text(row)) for form in self._working for row in around)


def _cell(row: tuple[str, ...], x: int) -> str:
    return row[x] if x < len(row) else " "


def _text(row: tuple[str, ...]) -> str:
    return "".join(row).rstrip()


def _last_rows(frame: Frame) -> int:
    """Where the last rows begin in which a question would stand; a screen may be filled from above."""
    used = max((y + 1 for y, row in enumerate(frame.rows) if _text(row)), default=0)
    return max(0, used - QUESTION_ROWS)
