"""Which session a program says it is in, read from its first lines.

Rules of this file:

- Standard library only, nothing of ours: the shim loads it in a bare interpreter.
- What is too long to be the line is skipped, and only the beginning of the output is looked at.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, TypedDict

LINE_BYTES_MAX: Final = 64 * 1024  # a longer line proves nothing
PROOF_BYTES_MAX: Final = 1024 * 1024  # where the first lines end
NATIVE_ID_MAX: Final = 200


class Rule(TypedDict):
    """Which line of stdout says the session: the first JSON object with these fields, where in it, and its form."""

    event: dict[str, Any]
    field: str
    form: str | None  # a pattern for the whole name


class Proof:
    """Finds in the first lines of a program's output which session it is in."""

    def __init__(self, rule: Rule | None, native_id: str, *, told: bool) -> None:
        """With `told` any proper id will do, else it must be `native_id`."""
        self._rule, self._native_id, self._told = rule, native_id, told
        self._line, self._long, self._left = bytearray(), False, PROOF_BYTES_MAX
        self.open = True
        self.native_id: str | None = None
        self.wrong = ""

    def feed(self, data: bytes) -> None:
        """Some more output."""
        self._left -= len(data)
        while self.open and data:
            line, newline, data = data.partition(b"\n")
            self._long = self._long or len(self._line) + len(line) > LINE_BYTES_MAX
            self._line += b"" if self._long else line
            if newline or (self._long and self._rule is None):
                self._judge(bytes(self._line), ended=bool(newline))
        if self._left <= 0:
            self.open = False

    def end(self) -> None:
        """There is no more: what stands there counts as a line."""
        if self.open and (self._line or self._long):
            self._judge(bytes(self._line), ended=True)
        self.open = False

    def _judge(self, line: bytes, *, ended: bool) -> None:
        long, self._long = self._long, self._long and not ended
        self._line.clear()
        if self._rule is None:
            self.open, self.native_id = False, self._native_id
            return
        if long:
            return
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(said, dict):
            return
        if any(said.get(name, _NOTHING) != value for name, value in self._rule["event"].items()):
            return
        self.open = False
        value = said.get(self._rule["field"])
        if not _proper(value, self._rule["form"]):
            self.wrong = "did not say which session it is"
        elif not self._told and value != self._native_id:
            self.wrong = "answered as another session"
        else:
            self.native_id = value


_NOTHING = object()


def _proper(value: object, form: str | None) -> bool:
    if not isinstance(value, str) or not 0 < len(value) <= NATIVE_ID_MAX or not value.isprintable():
        return False
    return form is None or bool(re.fullmatch(form, value))
