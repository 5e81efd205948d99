"""Holding back what humans type at the pane, while our line is on its way.

Rules of this file:
- Their keys go into a buffer of the server's, one binding a key, and from there into the pane, in order. UTF-8
  letters, the mouse and real pastes are not held: they reach the pane, and then no Enter follows our text.
- The server lets go by itself 3 s after our last word: a hold is renewed as long as our line needs it, and not
  after our death. Whatever ends the hold gives back the options as they were, and the keys.
- The humans' own bindings go on working: those of their root table are in ours too, and so is their prefix.
- A hold that cannot be had is said once; we go on without.
"""

import contextlib
import itertools
import re
import select
import time
from dataclasses import dataclass, replace
from typing import Final

from bridge.terminal.tmux_pane import Look, Pane, TmuxError

HOLD_S: Final = 3
RENEW_S: Final = 1.0
HAND_OVER_S_MAX: Final = 6.0
GAP_S: Final = 0.15
_PIECES: Final = re.compile(r"\r|[^\r]+")
_OPTIONS: Final = ("key-table", "assume-paste-time")
# fmt: off
_NAMED: Final = {
    "Space": " ", "Enter": "\r", "BSpace": "\x7f", "Tab": "\t", "Escape": "\x1b", "BTab": "\x1b[Z",
    "IC": "\x1b[2~", "DC": "\x1b[3~", "PPage": "\x1b[5~", "NPage": "\x1b[6~",
    "C-Left": "\x1b[1;5D", "C-Right": "\x1b[1;5C", "M-Enter": "\x1b\r", "M-BSpace": "\x1b\x7f",
}
# fmt: on
_CURSOR: Final = {"Up": "A", "Down": "B", "Right": "C", "Left": "D", "Home": "H", "End": "F"}
_CONTROLS: Final = "abcdefghjklnopqrstuvwxyz"  # C-i is Tab, C-m is Enter


@dataclass(frozen=True, slots=True)
class _Taken:
    """One session whose keys are held: the mark of this hold, and what undoes it."""

    session_id: str
    mark: str
    undo: str

    @property
    def still(self) -> str:
        """The condition that this hold, and no later one, is in force."""
        return f"#{{==:#{{@bridge_hold}},{self.mark}}}"

    @property
    def let_go(self) -> str:
        """What ends this hold, and no later one."""
        return f"if-shell -F -t {_quoted(self.session_id)} {_quoted(self.still)} {_quoted(self.undo)}"

    @property
    def dead_man(self) -> str:
        """What has the server let go by itself, when its time is over."""
        return f"run-shell -b -d {HOLD_S} -C {_quoted(self.let_go)}"


class Hold:
    """The keys of whoever looks at one pane."""

    def __init__(self, pane: Pane, owner: int) -> None:
        """Nothing is held yet. `owner` tells our holds from those of other processes."""
        self._pane = pane
        self._name = f"bridge-hold-{pane.id[1:]}"
        self._owner = owner
        self._turns = itertools.count(1)
        self._taken: list[_Taken] = []
        self._renew_at = 0.0
        self.failure: str | None = None

    @property
    def active(self) -> bool:
        """Whether we took a hold that we have not released (the server may have, when its time was over)."""
        return bool(self._taken)

    def take(self, seen: Look) -> None:
        """Hold the keys of everybody who looks at the pane; `failure` says why it could not be had."""
        sessions = sorted({viewer.session_id for viewer in seen.viewers})
        if not sessions or self._taken:
            return
        self._renew_at = time.monotonic() + RENEW_S
        try:
            self._bind(seen)
            for session_id in sessions:
                self._take(session_id)
        except TmuxError as error:
            self.failure = str(error)
            self.release()

    def renew(self) -> None:
        """Our line is still on its way: hold for another 3 s. A hold that the server has ended stays ended."""
        if not self._taken or time.monotonic() < self._renew_at:
            return
        self._renew_at = time.monotonic() + RENEW_S
        for number, each in enumerate(self._taken):
            later = replace(each, mark=self._mark())
            on = f"set-option -t {_quoted(each.session_id)} @bridge_hold {later.mark} ; {later.dead_man}"
            with contextlib.suppress(TmuxError):
                self._pane.tmux.call("if-shell", "-F", "-t", each.session_id, each.still, on)
                self._taken[number] = later

    def release(self) -> None:
        """Give back the options and the keys, in one go; what is not held is not touched."""
        if self._taken:
            self._hand_over_lines()
        taken, self._taken = self._taken, []
        for each in taken:
            # Nobody typed: there is no buffer. Nobody answers: the server lets go by itself when the time is over.
            with contextlib.suppress(TmuxError):
                self._pane.tmux.call("if-shell", "-F", "-t", each.session_id, each.still, each.undo)

    def forget(self) -> None:
        """Release, and leave no binding behind."""
        self.release()
        with contextlib.suppress(TmuxError):
            self._pane.tmux.call("unbind-key", "-a", "-q", "-T", self._name)

    def _hand_over_lines(self) -> None:
        """Hand over what was typed, still holding, with a gap before each Enter: in one burst it would be a paste."""
        tmux, out = self._pane.tmux, f"{self._name}-out"
        until = time.monotonic() + HAND_OVER_S_MAX
        while time.monotonic() < until:
            self.renew()
            try:
                # Taken by another name in one step: reading takes longer than the next key.
                tmux.call("set-buffer", "-b", self._name, "-n", out)
                held = tmux.call("save-buffer", "-b", out, "-", ";", "delete-buffer", "-b", out)
            except TmuxError:  # nobody typed
                return
            for piece in _PIECES.findall(held):
                with contextlib.suppress(TmuxError):
                    load = ("load-buffer", "-b", out, "-", ";")
                    tmux.call(*load, "paste-buffer", "-r", "-d", "-b", out, "-t", self._pane.id, given=piece)
                pause(GAP_S)
                self.renew()

    def _bind(self, seen: Look) -> None:
        tmux = self._pane.tmux
        # What humans have bound for themselves comes last and wins; where it cannot be read back, they miss it for
        # the moment of a hold.
        own = [
            line.replace("-T root ", f"-T {self._name} ", 1)
            for line in tmux.call("list-keys", "-T", "root").splitlines()
        ]
        prefixes = tmux.call("display-message", "-p", "-t", self._pane.id, "#{prefix} #{prefix2}").split()
        own += [
            f"bind-key -T {self._name} {key} switch-client -T prefix" for key in prefixes if key != "None"
        ]
        held = [
            f"bind-key -T {self._name} {_quoted(key)} {{ set-buffer -a -b {self._name} {_quoted(data)} }}"
            for key, data in held_keys(cursor_keys=seen.cursor_keys).items()
        ]
        try:
            tmux.call("source-file", "-", given="\n".join([*held, *own, ""]))
        except TmuxError:
            tmux.call("source-file", "-", given="\n".join([*held, ""]))

    def _mark(self) -> str:
        return f"{self._owner}-{next(self._turns)}"

    def _take(self, session_id: str) -> None:
        tmux = self._pane.tmux
        if tmux.option(session_id, "@bridge_hold") is not None:
            raise TmuxError("the keys of its session are held for another pane just now")
        target = f"-t {_quoted(session_id)}"
        undo = [f"set-option -u {target} @bridge_hold"]
        for name in _OPTIONS:
            value = tmux.option(session_id, name)
            undo.append(
                f"set-option -u {target} {name}"
                if value is None
                else f"set-option {target} {name} {_quoted(value)}"
            )
        # Last: it fails where nobody has typed.
        undo.append(f"paste-buffer -r -d -b {self._name} -t {_quoted(self._pane.id)}")
        taken = _Taken(session_id, self._mark(), " ; ".join(undo))
        self._taken.append(taken)
        tmux.call(
            *("set-option", "-t", session_id, "@bridge_hold", taken.mark, ";"),
            *("run-shell", "-b", "-d", str(HOLD_S), "-C", taken.let_go, ";"),
            *("set-option", "-t", session_id, "assume-paste-time", "0", ";"),
            *("set-option", "-t", session_id, "key-table", self._name),
        )


def pause(seconds: float) -> None:
    """Give the program in the pane a moment."""
    select.select([], [], [], seconds)


def held_keys(*, cursor_keys: bool) -> dict[str, str]:
    """The keys that can be held, by tmux's name, and the bytes that a program gets for each."""
    lead = "\x1bO" if cursor_keys else "\x1b["
    printable = {chr(code): chr(code) for code in range(0x21, 0x7F)}
    return {
        **printable,
        **{f"M-{key}": "\x1b" + key for key in printable if key.isalnum()},
        **{f"C-{key}": chr(ord(key) & 0x1F) for key in _CONTROLS},
        **{key: lead + end for key, end in _CURSOR.items()},
        **_NAMED,
    }


def _quoted(text: str) -> str:
    """As one word of tmux's configuration, whatever is in it."""
    return '"' + "".join(each if each.isalnum() else f"\\{ord(each):03o}" for each in text) + '"'
