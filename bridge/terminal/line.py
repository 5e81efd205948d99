"""The judge of a line program: its input line is where the cursor is.

Rules of this file:
- The prompt is learnt on a line where nobody has typed yet. "> 50%" ends like a prompt, but it is a draft
  when the prompt is "> ".
- A program for lines that shows the alternate screen (a pager, an editor) takes keys as commands: UNKNOWN.
- Keys typed while there is no prompt may sit unseen in the line buffer of the kernel. Until that line is
  ended, an input line that looks empty is UNKNOWN.
"""

import re
from typing import Final

from bridge.terminal.verdict import AT_PROMPT, Frame, Rules, Seen, Verdict

_LINE_ENDS: Final = re.compile(rb"[\r\n\x03\x04\x15\x1a\x1c]")
"""Enter, and the control keys at which a kernel line buffer is submitted or thrown away."""


class LineJudge:
    """Looks at frames; remembers between them the prompt and whether somebody has typed on this line."""

    def __init__(self, rules: Rules) -> None:
        """Compile the rules."""
        self._prompt_form = re.compile(rules.prompt, re.DOTALL)
        self._questions = [re.compile(form) for form in rules.questions]
        self._working = [re.compile(form) for form in rules.working]
        self._working_rows = rules.working_rows
        self._alternate = rules.alternate
        self._prompt: str | None = None
        self._typed = False
        self._ahead = False
        self._ended: str | None = None
        self.verdict = Verdict(Seen.UNKNOWN)

    def look(self, frame: Frame, *, hidden: bool = False) -> Verdict:
        """Judge a frame, and keep the verdict; `hidden`: what is typed now is not shown, as for a password."""
        line = (frame.left + frame.right).rstrip()
        if not self._typed and line != self._ended:
            self._ended = None
        if hidden:
            seen, text = Seen.DIALOG, ""
        elif frame.alternate and not self._alternate:
            seen, text = Seen.UNKNOWN, ""
        else:
            seen, text = self._read(frame)
        self.verdict = Verdict(seen, text, line)
        return self.verdict

    def sent(self, data: bytes, *, pasted: bool = False, canonical: bool = True) -> None:
        """Take note of bytes that went to the agent, from the human or from us.

        `canonical`: the kernel gathers the line (and may hold keys that no prompt shows).
        """
        end = None if pasted else _last_line_end(data)
        if end is not None:
            self._typed = self._ahead = False
            self._ended = self.verdict.line
            data = data[end:]
        no_prompt = end is not None or self.verdict.seen not in AT_PROMPT
        if data and (canonical or not no_prompt):
            self._typed = True
            self._ahead = self._ahead or no_prompt

    def _read(self, frame: Frame) -> tuple[Seen, str]:
        if self._asks(frame):
            return Seen.DIALOG, ""
        if any(form.search(row) for form in self._working for row in frame.above[-self._working_rows :]):
            return Seen.BUSY, ""
        blank_after = not frame.right.strip()
        looks_empty = blank_after and self._prompt_form.fullmatch(frame.left) is not None
        if not self._typed and self._ended is None and not self._goes_on(frame):
            if looks_empty:
                self._prompt = frame.left
            return (self._unless_ahead(Seen.EMPTY), "") if looks_empty else (Seen.BUSY, "")
        if self._prompt is not None and frame.left.startswith(self._prompt):
            text = (frame.left[len(self._prompt) :] + frame.right.rstrip()).strip("\n")
            return (Seen.DRAFT, text) if text else (self._unless_ahead(Seen.EMPTY), "")
        return (Seen.UNKNOWN, "") if looks_empty else (Seen.BUSY, "")

    def _goes_on(self, frame: Frame) -> bool:
        """Whether there is more after the prompt we know: keys that a program has kept and shows only now."""
        known = self._prompt
        if known is None or not known.endswith(" ") or not frame.left.startswith(known):
            return False
        return bool(frame.left[len(known) :].strip())

    def _unless_ahead(self, seen: Seen) -> Seen:
        return Seen.UNKNOWN if self._ahead else seen

    def _asks(self, frame: Frame) -> bool:
        over = frame.above[-1].rstrip() if frame.above else ""
        # What was typed after a known prompt is no question of the program's, whatever its words.
        known = self._typed and self._prompt is not None and frame.left.startswith(self._prompt)
        asked = "" if known else frame.left
        return any(
            form.search(asked) is not None or any(hit.end() == len(over) for hit in form.finditer(over))
            for form in self._questions
        )


def _last_line_end(data: bytes) -> int | None:
    ends = [hit.end() for hit in _LINE_ENDS.finditer(data)]
    return ends[-1] if ends else None
