"""What the program's hooks tell: lines in a named pipe of ours.

Rules of this file:
- One line an event, and no answer: whoever writes opens the pipe for reading too, so that nobody ever waits.
- They are believed for the agent's own session and nothing else: what it starts could write there as well.
- Forms are looked for, not parsed: a long event comes cut.
- "Busy" may grow old: a turn that the human interrupts ends without a word. The screen corrects it.
"""

import contextlib
import json
import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from bridge.terminal.live import Live
from bridge.terminal.verdict import AT_PROMPT, Seen, Verdict

STALE_S: Final = 10.0
READ_BYTES: Final = 65_536
LINE_BYTES_MAX: Final = 16_384


class Told(StrEnum):
    """What the program last said that it does."""

    NOTHING = ""
    BUSY = "busy"
    IDLE = "idle"
    BLOCKED = "blocked"


@dataclass(slots=True)
class _Forms:
    busy: re.Pattern[str] | None
    idle: re.Pattern[str] | None
    blocked: re.Pattern[str] | None
    taken: re.Pattern[str] | None
    native: re.Pattern[str] | None


class Hooks:
    """Our end of the pipe, and what came out of it."""

    def __init__(self, path: Path, live: Live) -> None:
        """Make the pipe, for us alone."""
        self.path = path
        self._forms = _Forms(
            *(
                re.compile(form) if form else None
                for form in (
                    live.hook_busy,
                    live.hook_idle,
                    live.hook_blocked,
                    live.hook_taken,
                    live.hook_native,
                )
            )
        )
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
        # Open for writing too: without a writer it would be at its end, and always readable.
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._tail = b""
        self._told, self._told_at = Told.NOTHING, 0.0
        self.heard = False
        self.native_id: str | None = None

    @property
    def can_show(self) -> bool:
        """Whether a prompt that is taken would be told: they are there, and speak."""
        return self.heard and self._forms.taken is not None

    def read(self, now: float) -> list[str]:
        """Take what has come; returns the prompts that were taken."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return []
        *lines, self._tail = (self._tail + data).split(b"\n")
        if len(self._tail) > LINE_BYTES_MAX:
            self._tail = b""
        found: list[str] = []
        for line in lines:
            found += self._line(line.decode(errors="replace"), now)
        return found

    def over(self, verdict: Verdict, stable_s: float, now: float, *, ours: bool = False) -> Verdict:
        """The screen's verdict with what the hooks told laid over it; the screen wins in the long run.

        `ours`: our text is in the box. Then the screen alone says how it does, but for a question: that is told of
        before it is drawn, and an Enter in between would answer it.
        """
        if ours:
            return Verdict(Seen.DIALOG, covered=True) if self._told is Told.BLOCKED else verdict
        if verdict.seen in AT_PROMPT and min(stable_s, now - self._told_at) >= STALE_S:
            self._told = Told.NOTHING
        if self._told is Told.BLOCKED:
            return Verdict(Seen.DIALOG, covered=True)
        if self._told is Told.BUSY and verdict.seen in AT_PROMPT:
            return Verdict(Seen.BUSY, line=verdict.line)
        return verdict

    def close(self) -> None:
        """Leave nothing behind."""
        os.close(self.fd)
        self.path.unlink(missing_ok=True)

    def _line(self, line: str, now: float) -> list[str]:
        if not line:
            return []
        self.heard = True
        forms = self._forms
        for told, form in ((Told.BLOCKED, forms.blocked), (Told.BUSY, forms.busy), (Told.IDLE, forms.idle)):
            if form is not None and form.search(line):
                self._told, self._told_at = told, now
        if forms.native is not None and (named := form_group(forms.native, line)):
            self.native_id = named
        if forms.taken is None or not (prompt := form_group(forms.taken, line)):
            return []
        with contextlib.suppress(ValueError):
            prompt = str(json.loads(f'"{prompt}"'))
        return [prompt, *(prompt.splitlines() if "\n" in prompt else [])]


def form_group(form: re.Pattern[str], line: str) -> str:
    """What a form's first group found; "" for nothing."""
    match = form.search(line)
    return match[1] or "" if match else ""
