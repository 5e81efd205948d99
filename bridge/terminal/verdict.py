"""What the screen says about the agent's input line: the words for it, and what every judge promises.

Rules of this file:
- Values only. How a line program is judged stands in `line`, how a program with a box of its own in `box`.
- The screen is the truth for the draft; the keys are not, for arrow-up, completion and Ctrl-K change a draft
  without a letter typed.
- What is not positively recognised is UNKNOWN, and nobody types into UNKNOWN.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol


class Seen(StrEnum):
    """The state of the input line, as the screen shows it."""

    EMPTY = "empty"
    DRAFT = "draft"
    DIALOG = "dialog"
    BUSY = "busy"
    UNKNOWN = "unknown"


AT_PROMPT: Final = frozenset({Seen.EMPTY, Seen.DRAFT})
LINE: Final = "line"
BOX: Final = "box"


def no_style(_x: int, _y: int) -> frozenset[str]:
    """Say that the cell has no style."""
    return frozenset()


@dataclass(frozen=True, slots=True)
class Frame:
    """The screen at one moment.

    `left` and `right` are the logical line of the cursor (wrapped rows joined), up to the cursor and from
    it on; `above` is the rows over that line, top first. `rows` is the whole screen, top first: a row is its
    cells, a cell is its letters ("" is the right half of a wide one); what is right of the last cell is blank.
    """

    left: str
    right: str = ""
    above: tuple[str, ...] = ()
    cursor: tuple[int, int] = (0, 0)
    cursor_visible: bool = True
    alternate: bool = False
    style: Callable[[int, int], frozenset[str]] = no_style
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """How one kind of agent program shows its input line; the data of a preset.

    `kind` says which judge reads them: "line" (the input line is where the cursor is) or "box" (the program draws
    a box of its own). `questions` make it a dialog, `working` within `working_rows` above makes it busy.
    `paste_required` refuses to type unless the program has switched bracketed paste on; `settled_s` is how long
    the box must have looked the same before anything is handed over.

    line: `prompt` must match the whole text left of the cursor when the box is empty; `questions` are looked for on
    that line and closing the row above; `alternate`: its prompt may be on the alternate screen.

    box: its first row begins with `marker` in exactly `marker_styles`, the text stands from `text_column` on (0 is the
    first), further rows are indented to it. `rule` is the letter of the rules directly above and below it ("": it has
    none, and at most `rows_below` rows follow when it is empty). `cursor_shown`: the terminal's own cursor is shown in
    it, else it is hidden, but stands there. `placeholder` is the style of what is shown in an empty box;
    `placeholder_always`: an empty box shows something. `questions` are looked for under the box, without one in the
    last rows of the screen; `working` under the box too.
    """

    kind: str = LINE
    prompt: str = ""
    questions: tuple[str, ...] = ()
    working: tuple[str, ...] = ()
    working_rows: int = 6
    paste_required: bool = False
    alternate: bool = False
    settled_s: float = 0.3
    marker: str = ""
    marker_styles: tuple[str, ...] = ()
    text_column: int = 2
    rule: str = ""
    rows_below: int = 0
    cursor_shown: bool = True
    placeholder: str = "faint"
    placeholder_always: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was recognised: the state, the draft if there is one, and the line as it stands.

    `covered`: what the input box holds cannot be seen now, something else stands before it.
    """

    seen: Seen
    text: str = ""
    line: str = ""
    covered: bool = False


class Judge(Protocol):
    """Looks at frames and keeps the last verdict."""

    verdict: Verdict

    def look(self, frame: Frame, *, hidden: bool = False) -> Verdict:
        """Judge a frame, and keep the verdict; `hidden`: what is typed now is not shown, as for a password."""
        ...

    def sent(self, data: bytes, *, pasted: bool = False, canonical: bool = True) -> None:
        """Take note of bytes that went to the agent, from the human or from us.

        `canonical`: the kernel gathers the line (and may hold keys that no prompt shows).
        """
        ...
