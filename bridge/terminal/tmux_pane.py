"""One pane of a tmux server: what it shows, who looks at it, and the few things that may be done to it.

Rules of this file:
- The only place that runs `tmux`: one short process a call, each with a timeout, never a control client.
- A look is one call, which the server answers in one go: state, clients and picture belong together.
- Nothing is typed by `send-keys TEXT`: text goes through a buffer, from stdin; Enter is one byte. Both are
  done by the server only if the pane is still what we saw, asked in the same breath.
- What names a pane is its id and the process in it: a target that is gone is an error, never a neighbour.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CALL_S_MAX: Final = 2.0
PANE_FORM: Final = re.compile(r"%\d{1,9}")
_END_OF_FACTS: Final = "=picture="
_FACTS: Final = (
    *("pane_id", "pane_pid", "pane_dead", "pane_in_mode", "pane_input_off", "alternate_on"),
    *("cursor_x", "cursor_y", "cursor_flag", "pane_width", "pane_height", "pane_tty"),
    *("keypad_cursor_flag", "pane_synchronized", "bracket_paste_flag", "window_id", "session_id"),
)
_CLIENT: Final = (
    *("client_activity", "client_control_mode", "client_readonly", "pane_id", "window_id", "session_id"),
)
_UNTYPEABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_GONE: Final = re.compile(r"can't find (pane|window|session)|no such (pane|window|session)")
_NO_SERVER: Final = re.compile(r"no server running|error connecting|server exited|lost server")


class TmuxError(Exception):
    """What tmux said, or that it said nothing."""


class PaneGone(TmuxError):
    """The pane is closed, or another one has its place."""


class ServerGone(PaneGone):
    """The tmux server does not run any more."""


class TmuxSilent(TmuxError):
    """The server did not answer in time: it may be stopped, and what was asked may be done or not."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """A client that shows the pane and can type into it; when it last did, on the server's clock, in seconds."""

    session_id: str
    activity: int


@dataclass(frozen=True, slots=True)
class Look:
    """The pane at one moment. `now` is the server's clock, in whole seconds, rounded down.

    `rows` are logical lines with their styles as escape sequences; wrapped ones are joined. `bracketed` is
    None where this tmux cannot say.
    """

    pane_pid: int
    dead: bool
    in_mode: bool
    input_off: bool
    alternate: bool
    cursor: tuple[int, int]
    cursor_visible: bool
    size: tuple[int, int]
    tty: str
    cursor_keys: bool
    bracketed: bool | None
    session_id: str
    now: int
    viewers: tuple[Viewer, ...]
    rows: tuple[str, ...]


class ServerClock:
    """The server's clock, of which it tells whole seconds, rounded down; all else in seconds of ours, monotonic."""

    def __init__(self) -> None:
        """Nothing is known of it."""
        self._ahead = float("-inf")

    def heard(self, told: int, asked_at: float, got_at: float) -> None:
        """It told this in between; a look at each change of the second makes the picture finer."""
        self._ahead = max(self._ahead, told - got_at)
        if self._ahead > told + 1 - asked_at:  # it was set back
            self._ahead = told - got_at

    def passed_s(self, told: int, now: float) -> float:
        """How long ago, at least, something was that it dates so."""
        return max(0.0, now + self._ahead - (told + 1))


class Tmux:
    """A tmux server: `socket` is its path; not given, the one tmux itself would take."""

    def __init__(self, environment: Mapping[str, str], socket: Path | None = None) -> None:
        """Remember where it is; `environment` is what a server that has to be started would keep."""
        self._environment = dict(environment)
        self._command = ("tmux", "-u", *(("-S", str(socket)) if socket else ()))

    @property
    def command(self) -> str:
        """How a human calls this server."""
        return " ".join(word for word in self._command if word != "-u")

    def call(self, *words: str, given: str = "") -> str:
        """Run one command line (`;` between commands) and return what it printed. Raises TmuxError."""
        try:
            done = subprocess.run(  # noqa: S603  words from our own tables, no shell
                [*self._command, *words],
                input=given.encode(),
                capture_output=True,
                timeout=CALL_S_MAX,
                env=self._environment,
                check=False,
            )
        except FileNotFoundError as error:
            raise TmuxError("there is no tmux on this machine") from error
        except subprocess.TimeoutExpired as error:
            raise TmuxSilent(f"tmux did not answer within {CALL_S_MAX:g} s") from error
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip() or f"tmux ended with {done.returncode}"
            if _NO_SERVER.search(said):
                raise ServerGone(said)
            raise PaneGone(said) if _GONE.search(said) else TmuxError(said)
        return done.stdout.decode(errors="replace")

    def option(self, target: str, name: str) -> str | None:
        """A session option's own value; None where the session only inherits it."""
        if not self.call("show-options", "-q", "-t", target, name).strip():
            return None
        return self.call("show-options", "-q", "-v", "-t", target, name).rstrip("\n")

    def new_session(self, name: str, directory: Path, argv: Sequence[str]) -> str:
        """Open a detached session that runs a program; return its pane's id."""
        where = ("new-session", "-d", "-P", "-F", "#{pane_id}", "-s", name, "-c", str(directory))
        return self.call(*where, "-x", "120", "-y", "40", "--", *argv).strip()


class Pane:
    """One pane."""

    def __init__(self, tmux: Tmux, pane_id: str) -> None:
        """Name it. Raises ValueError for what is no pane's id."""
        if not PANE_FORM.fullmatch(pane_id):
            raise ValueError(f"{pane_id!r} is no pane's id: it looks like %5 (tmux list-panes -a)")
        self.tmux, self.id = tmux, pane_id

    def look(self) -> Look:
        """Take state, viewers and picture in one call. Raises TmuxError."""
        facts = "|".join(f"#{{{name}}}" for name in _FACTS)
        client = "|".join(f"#{{{name}}}" for name in _CLIENT)
        said = self.tmux.call(
            *("display-message", "-p", "-t", self.id, f"{facts}|%s", ";"),
            *("list-clients", "-F", client, ";"),
            *("display-message", "-p", _END_OF_FACTS, ";"),
            *("capture-pane", "-p", "-e", "-J", "-t", self.id),
        )
        head, *rest = said.split("\n")
        found, now = dict(zip(_FACTS, head.split("|"), strict=False)), head.rpartition("|")[2]
        if found.get("pane_id") != self.id:
            raise PaneGone(f"the pane {self.id} is gone")
        end = rest.index(_END_OF_FACTS)
        clients = [dict(zip(_CLIENT, line.split("|"), strict=True)) for line in rest[:end]]
        rows = rest[end + 1 :]
        return _look(found, int(now), clients, tuple(rows[:-1] if rows[-1:] == [""] else rows))

    def paste(self, text: str, seen: Look) -> bool:
        """Paste a line into the pane as the terminal would, if it is still as `seen`; return whether it was.

        Raises ValueError for a text with controls (the server would hand them on), TmuxError otherwise.
        """
        if _UNTYPEABLE.search(text):
            raise ValueError("a text for a pane has no control characters")
        name = f"bridge-line-{self.id[1:]}"
        paste = f"paste-buffer -d -p -r -b {name} -t {self.id}"
        said = self.tmux.call(
            "load-buffer",
            "-b",
            name,
            "-",
            ";",
            *self._if_still(seen, paste, f"delete-buffer -b {name}"),
            given=text,
        )
        return not said.strip()

    def enter(self, seen: Look) -> bool:
        """Press Enter, if the pane is still as `seen`, cursor included; return whether it was."""
        return not self.tmux.call(*self._if_still(seen, f"send-keys -t {self.id} -H 0d")).strip()

    def tell(self, text: str) -> None:
        """Set what the status line may show of this pane (`#{@bridge}`); nothing: take it away."""
        plain = _UNTYPEABLE.sub(" ", text).replace("#", "").replace("%", "").strip()
        set_it = ("set-option", "-p", "-t", self.id)
        self.tmux.call(*set_it, "@bridge", plain) if plain else self.tmux.call(*set_it, "-u", "@bridge")

    def _if_still(self, seen: Look, then: str, instead: str = "") -> tuple[str, ...]:
        same = [
            f"#{{==:#{{pane_id}},{self.id}}}",
            f"#{{==:#{{pane_pid}},{seen.pane_pid}}}",
            "#{==:#{pane_dead}#{pane_in_mode}#{pane_input_off},000}",
            f"#{{==:#{{cursor_x}} #{{cursor_y}},{seen.cursor[0]} {seen.cursor[1]}}}",
        ]
        condition = same[0]
        for further in same[1:]:
            condition = f"#{{&&:{condition},{further}}}"
        refused = f"display-message -p refused{' ; ' + instead if instead else ''}"
        return "if-shell", "-F", "-t", self.id, condition, then, refused


def _look(found: Mapping[str, str], now: int, clients: list[dict[str, str]], rows: tuple[str, ...]) -> Look:
    # Where all panes of a window get the same keys, whoever looks at the window types into ours.
    place = "window_id" if found["pane_synchronized"] == "1" else "pane_id"
    viewers = [
        Viewer(client["session_id"], int(client["client_activity"]))
        for client in clients
        if client[place] == found[place]
        and client["client_control_mode"] != "1"
        and client["client_readonly"] != "1"
    ]
    flag = found["bracket_paste_flag"]
    return Look(
        pane_pid=int(found["pane_pid"]),
        dead=found["pane_dead"] == "1",
        in_mode=found["pane_in_mode"] not in ("", "0"),
        input_off=found["pane_input_off"] == "1",
        alternate=found["alternate_on"] == "1",
        cursor=(int(found["cursor_x"]), int(found["cursor_y"])),
        cursor_visible=found["cursor_flag"] == "1",
        size=(int(found["pane_width"]), int(found["pane_height"])),
        tty=found["pane_tty"],
        cursor_keys=found["keypad_cursor_flag"] == "1",
        bracketed=None if flag == "" else flag == "1",
        session_id=found["session_id"],
        now=now,
        viewers=tuple(viewers),
        rows=rows,
    )
