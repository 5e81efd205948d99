"""The pane's word in the status line: what waits for the agent, while something does.

Rules of this file:
- One option of the pane (`@bridge`); a status line that mentions it is left as it is, another one is given it in
  front, and given back when we leave.
- It is an ornament: whatever tmux answers, serving the pane goes on.
"""

import contextlib
from typing import Final

from bridge.terminal.tmux_pane import Pane, TmuxError

_SHOWN: Final = "#{?@bridge,#{@bridge} ,}"
_CHARS_MAX: Final = 80


class StatusLine:
    """The status line of the pane's session."""

    def __init__(self, pane: Pane, session_id: str) -> None:
        """Put our word in front, unless it is there already."""
        self._pane, self._session_id = pane, session_id
        self._told = ""
        self._before: str | None = None
        self._changed = False
        with contextlib.suppress(TmuxError):
            shown = pane.tmux.call("show-options", "-A", "-v", "-t", session_id, "status-right").rstrip("\n")
            if "@bridge" not in shown:
                self._before = pane.tmux.option(session_id, "status-right")
                pane.tmux.call("set-option", "-t", session_id, "status-right", _SHOWN + shown)
                self._changed = True

    def tell(self, text: str) -> None:
        """Show this; nothing: show nothing."""
        if text != self._told:
            with contextlib.suppress(TmuxError):
                self._pane.tell(text[:_CHARS_MAX])
                self._told = text

    def restore(self) -> None:
        """Leave it as it was."""
        self.tell("")
        if self._changed:
            where = ("set-option", "-t", self._session_id)
            back = ("-u", "status-right") if self._before is None else ("status-right", self._before)
            with contextlib.suppress(TmuxError):
                self._pane.tmux.call(*where, *back)
