"""Live adapters under test: what hands a line to a program that runs in a terminal.

Rules of this file:
- The adapter is the real one, from the host's side of it to the terminal; only the bridge behind it is missing.
- Every session has a program of its own, and its truth.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from bridge.adapters.runtimes.pty import PtyServer
from bridge.adapters.runtimes.pty_runtime import PtyRuntime
from bridge.config import inherited_environment
from bridge.conformance.nursery import Nursery
from bridge.conformance.traps import NotHere
from bridge.conformance.truth import Truth, until
from bridge.conformance.window import Window
from bridge.ports.hosts import Registered
from bridge.ports.runtime import Handed, Line, SessionRef

READY_S: Final = 8.0
SIZE: Final = (110, 32)
NOT_INHERITED: Final = ("BRIDGE_", "TMUX")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to open: a command, whose truth is in that file, in a terminal of this size.

    `headless`: without a human's terminal, where that is a difference; `human`: somebody looks at it and types;
    `from_shell`: it is started by a shell, which has the terminal again when it ends;
    `queue`: what queues a line for it.
    """

    command: Sequence[str]
    truth: Path
    cols: int = SIZE[0]
    rows: int = SIZE[1]
    headless: bool = False
    human: bool = False
    from_shell: bool = False
    queue: Sequence[str] = ()


class Session(Protocol):
    """A program in a terminal, held by the adapter."""

    truth: Truth

    def hand_over(self, line: Line) -> Handed:
        """Have the adapter hand the line over."""
        ...

    def type(self, data: bytes) -> None:
        """Be the human at the keys."""
        ...

    def resize(self, cols: int, rows: int) -> None:
        """Be the human who drags the window's corner."""
        ...

    def act(self, what: str, *words: str, then: Sequence[str] = ()) -> None:
        """Do what this kind of terminal alone can do: a command of its own, and the program that it is to start."""
        ...

    def close(self) -> None:
        """End everything."""
        ...


class LiveAdapter(Protocol):
    """What opens sessions."""

    name: str

    def why_not(self) -> str | None:
        """Why it cannot be tried on this machine, if so."""
        ...

    def open(self, wanted: Wanted) -> Session:
        """Start the program and wait until the adapter holds it."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


@dataclass
class AnyoneMay:
    """The registrar of a host without a bridge: whoever dials in is who he says."""

    here: set[str] = field(default_factory=set)

    def register(
        self, token: str, session_id: str, pid: int, preset: object, runtime: str, agent_pid: int
    ) -> Registered:
        """The session is held."""
        del token, pid, preset, runtime, agent_pid
        self.here.add(session_id)
        return Registered("doctor", "doctor", session_id, 1)

    def still_valid(self, token: str, registered: Registered) -> bool:
        """Always."""
        del token, registered
        return True

    def gone(self, registered: Registered, why: str) -> None:
        """Note that it is gone."""
        del why
        self.here.discard(registered.session_id)

    def became(self, registered: Registered, event: str) -> None:
        """Nothing to do: the suite asks, it does not wait to be told."""

    def named(self, registered: Registered, native_id: str) -> None:
        """Nothing to do: nothing is resumed here."""

    def accepted(self, registered: Registered, key: str, by: str) -> None:
        """Nothing to do: the suite asks again."""


class HostSide:
    """A host's side of the link without a bridge behind it, in a folder of its own."""

    def __init__(self, preset: str, presets_dir: Path | None) -> None:
        self.preset, self.presets_dir = preset, presets_dir
        self.folder = Path(tempfile.mkdtemp(prefix=f"wbd-{os.getpid()}-", dir="/tmp"))
        self.registrar = AnyoneMay()
        self.server = PtyServer(self.folder / "host.sock", self.registrar)
        self.runtime = PtyRuntime(self.server)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.server.open()
        self.nursery = Nursery(environment())

    def number(self) -> int:
        """A number for one session."""
        with self._lock:
            return next(self._numbers)

    def told(self, session_id: str, **more: object) -> str:
        """What a wrapper is told, as its argument."""
        usual = {
            "folder": str(self.folder),
            "presets_dir": None if self.presets_dir is None else str(self.presets_dir),
            "preset": self.preset,
            "session_id": session_id,
        }
        return json.dumps(usual | more)

    def until_held(self, session_id: str) -> None:
        """Wait until the wrapper of this session has registered. Raises Wrong."""
        until(lambda: session_id in self.registrar.here, "the wrapper at its host", READY_S)

    def hand_over(self, session_id: str, line: Line) -> Handed:
        """Through the host's side, as a worker does it."""
        return self.runtime.hand_over(SessionRef("doctor", "doctor", session_id), line)

    def close(self) -> None:
        """Listen no more, and clear away."""
        self.nursery.close()
        self.server.close()
        clear(self.folder)


class PtyAdapter:
    """The runtime `pty`: the wrapper of `bridge run`, in a window of the suite's."""

    name = "pty"

    def __init__(self, preset: str, presets_dir: Path | None) -> None:
        self.host = HostSide(preset, presets_dir)

    def why_not(self) -> str | None:
        """It needs nothing but a kernel."""
        return None

    def open(self, wanted: Wanted) -> Session:
        """Start the wrapper and wait until it is registered."""
        return PtySession(self.host, wanted)

    def close(self) -> None:
        """Leave nothing behind."""
        self.host.close()


class PtySession:
    """One window with one wrapper in it."""

    def __init__(self, host: HostSide, wanted: Wanted) -> None:
        self.truth = Truth(wanted.truth)
        self._host, self.session_id = host, f"ses_{host.number()}"
        self.window = Window(wanted.cols, wanted.rows)
        terminal = None if wanted.headless else self.window.name
        told = host.told(
            self.session_id, terminal=terminal, command=list(wanted.command), queue=list(wanted.queue)
        )
        self.window.hold(host.nursery.fork("wrapped", told, wanted.truth.parent))
        try:
            host.until_held(self.session_id)
        except BaseException:
            self.window.close()
            raise

    def hand_over(self, line: Line) -> Handed:
        """Through the host's side, as a worker does it."""
        return self._host.hand_over(self.session_id, line)

    def type(self, data: bytes) -> None:
        """Press keys in the window."""
        self.window.type(data)

    def resize(self, cols: int, rows: int) -> None:
        """Drag the window's corner."""
        self.window.resize(cols, rows)

    def act(self, what: str, *words: str, then: Sequence[str] = ()) -> None:
        """A window has no commands. Raises NotHere."""
        raise NotHere(f"{' '.join([what, *words, *then[:1]])}: there is no such thing in a window")

    def close(self) -> None:
        """Close the window, and see that the program is gone."""
        self.window.close()
        kill_left(self.truth)


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the suite's programs inherit: ours, without what belongs to a bridge."""
    kept = {
        name: value for name, value in inherited_environment().items() if not name.startswith(NOT_INHERITED)
    }
    return {**kept, "TERM": "xterm-256color", **(more or {})}


def kill_left(truth: Truth) -> None:
    """Kill the fake program, should it live; its command line names its truth."""
    pid = truth.pid()
    with contextlib.suppress(OSError):
        if pid is not None and str(truth.path).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


def clear(folder: Path) -> None:
    """Remove a folder with all that is in it, as far as it goes."""
    for path in sorted(folder.rglob("*"), reverse=True):
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()
