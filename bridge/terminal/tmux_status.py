"""The pane's word in the status line: what waits for the agent, while something does.

Rules of this file:
- One option of the pane (`@bridge`); a status line that mentions it is left as it is, another one is given it in
  front, and given back when we leave.
- It is an ornament: whatever tmux answers, serving the pane goes on.
"""

import contextlib
from typing import Final

from bridge.terminal.link import Message
from bridge.terminal.notice import AGAIN_S_MAX, LAPSE_S, WAKES_MAX, notice_text
from bridge.terminal.tmux_pane import Pane, TmuxError

_SHOWN: Final = "#{?@bridge,#{@bridge} ,}"
_CHARS_MAX: Final = 80


class StatusLine:
    """The status line of the pane's session."""

    def __init__(self, pane: Pane, session_id: str) -> None:
        """Put our word in front, unless it is there already."""
        self._pane, self._session_id = pane, session_id
        self._told = ""
        self._wakes, self._why, self._again_at = 0, "", 0.0
        self._before: str | None = None
        self._changed = False
        with contextlib.suppress(TmuxError):
            shown = pane.tmux.call("show-options", "-A", "-v", "-t", session_id, "status-right").rstrip("\n")
            if "@bridge" not in shown:
                self._before = pane.tmux.option(session_id, "status-right")
                pane.tmux.call("set-option", "-t", session_id, "status-right", _SHOWN + shown)
                self._changed = True

    def heard(self, message: Message, now: float) -> None:
        """Take the host's word for what waits, among all that it says."""
        if message.get("op") != "waiting":
            return
        wakes, why, again_s = message.get("wakes"), message.get("why"), message.get("again_in_s")
        self._wakes = min(wakes, WAKES_MAX) if isinstance(wakes, int) else 0
        self._why = why if isinstance(why, str) else ""
        seconds = float(again_s) if isinstance(again_s, int | float) else 0.0
        self._again_at = now + min(max(0.0, seconds), AGAIN_S_MAX)
        self.tick(now)

    def tick(self, now: float) -> None:
        """Count down, and stop some seconds after the time has come."""
        if now >= self._again_at + LAPSE_S:
            self._wakes = 0
        self._tell(notice_text(self._wakes, self._why, self._again_at - now) if self._wakes > 0 else "")

    def _tell(self, text: str) -> None:
        if text != self._told:
            with contextlib.suppress(TmuxError):
                self._pane.tell(text[:_CHARS_MAX])
                self._told = text

    def restore(self) -> None:
        """Leave it as it was."""
        self._tell("")
        if self._changed:
            where = ("set-option", "-t", self._session_id)
            back = ("-u", "status-right") if self._before is None else ("status-right", self._before)
            with contextlib.suppress(TmuxError):
                self._pane.tmux.call(*where, *back)
