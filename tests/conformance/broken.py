"""Adapters that do what adapters do wrong in the field: the suite must see it."""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from bridge.adapters.presets import load_preset
from bridge.config import Settings
from bridge.conformance.live import Session, Wanted, environment, kill_left
from bridge.conformance.pane import PaneSession, TmuxAdapter
from bridge.conformance.traps import Wrong
from bridge.conformance.truth import Truth
from bridge.conformance.window import Window
from bridge.conformance.wrapped import module_command
from bridge.core.states import Evidence
from bridge.ports.runs import CRASHED, EXITED, RunSpec, RunWatcher
from bridge.ports.runtime import Handed, Line

PIPE_BYTES = 65_536
PASTED = b"\x1b[200~%s\x1b[201~"
Habit = Callable[[Window, bytes], Evidence]


def blind(window: Window, text: bytes) -> Evidence:
    """Types text and Enter in one go, and calls that success."""
    window.type(text + b"\r")
    return Evidence.ACCEPTED


def boasts(window: Window, text: bytes) -> Evidence:
    """Does nothing, and calls that success."""
    del window, text
    return Evidence.ACCEPTED


def pushes(window: Window, text: bytes) -> Evidence:
    """Pastes, then presses Enter until something must have happened."""
    window.type(PASTED % text)
    for _ in range(2):
        threading.Event().wait(0.2)
        window.type(b"\r")
    return Evidence.ACCEPTED


def shies(window: Window, text: bytes) -> Evidence:
    """Never dares."""
    del window, text
    return Evidence.NOT_TOUCHED


def tidies(window: Window, text: bytes) -> Evidence:
    """Pastes, presses Enter, and clears the box with keys of its own."""
    window.type(PASTED % text)
    threading.Event().wait(0.2)
    window.type(b"\r\x15")
    return Evidence.STRANDED


def denies(window: Window, text: bytes) -> Evidence:
    """Types, and says that nothing was touched."""
    window.type(PASTED % text + b"\r")
    return Evidence.NOT_TOUCHED


class BrokenAdapter:
    """A program in a window, and a bad habit in the place of an adapter."""

    name = "broken"

    def __init__(self, habit: Habit) -> None:
        self._habit = habit

    def why_not(self) -> str | None:
        return None

    def open(self, wanted: Wanted) -> Session:
        return _BrokenSession(self._habit, wanted)

    def close(self) -> None:
        pass


class _BrokenSession:
    def __init__(self, habit: Habit, wanted: Wanted) -> None:
        self.truth = Truth(wanted.truth)
        self._habit = habit
        self._window = Window(wanted.cols, wanted.rows)
        command = module_command("programs.seated", self._window.name, *wanted.command, bare=True)
        self._window.start(command, environment=environment(), cwd=wanted.truth.parent)

    def hand_over(self, line: Line) -> Handed:
        return Handed(self._habit(self._window, line.text.encode()))

    def type(self, data: bytes) -> None:
        self._window.type(data)

    def resize(self, cols: int, rows: int) -> None:
        self._window.resize(cols, rows)

    def act(self, what: str, *words: str, then: Sequence[str] = ()) -> None:
        raise NotImplementedError(what, words, then)

    def close(self) -> None:
        self._window.close()
        kill_left(self.truth)


class BlindPanes(TmuxAdapter):
    """Sends keys to a pane whoever is in it, and calls that success."""

    def open(self, wanted: Wanted) -> Session:
        return _BlindPane(self, wanted)


class _BlindPane(PaneSession):
    def _serve(self) -> None:
        pass

    def hand_over(self, line: Line) -> Handed:
        with contextlib.suppress(Wrong):  # a pane in copy mode that nobody looks at takes no keys at all
            self._adapter.call("send-keys", "-t", self.pane, "-l", line.text)
            self._adapter.call("send-keys", "-t", self.pane, "Enter")
        return Handed(Evidence.ACCEPTED)


class TrustingBook:
    """Starts programs and believes in them: no identity, no clean end, prompt and token in the open.

    `patient`: it waits for the program's end, else it tells the end at once. `proves`: it takes any start for a proof.
    """

    def __init__(self, settings: Settings, watcher: RunWatcher, *, patient: bool, proves: bool) -> None:
        self._settings, self._watcher, self._patient, self._proves = settings, watcher, patient, proves
        self._started: list[tuple[subprocess.Popen[bytes], str]] = []
        self._open: list[int] = []

    def start(self, spec: RunSpec) -> None:
        command = load_preset(spec.preset, self._settings.presets_dir).command
        assert command is not None
        argv = [word.replace("{native_id}", spec.native_id) for word in command.argv[spec.rung.value]]
        prompt, writing = os.pipe()
        if self._patient:
            os.write(writing, spec.prompt.encode()[:PIPE_BYTES])
            os.close(writing)
        else:
            self._open.append(writing)
        process = subprocess.Popen(
            [*argv, spec.prompt[:1000]],
            stdin=prompt,
            stdout=subprocess.DEVNULL,
            env={**environment(), "TOKEN": spec.token},
            cwd=spec.cwd,
        )
        os.close(prompt)
        self._started.append((process, next(word for word in argv if word.startswith("{"))))
        if self._proves:
            self._watcher.proved(spec, spec.native_id)
        threading.Thread(target=self._end, args=(spec, process), daemon=True).start()

    def _end(self, spec: RunSpec, process: subprocess.Popen[bytes]) -> None:
        status = None
        if self._patient:
            status = process.wait()
        result = CRASHED if self._patient and not self._proves else EXITED
        self._watcher.ended(spec, status=0 if status else status, result=result, why="")

    def end(self, run_id: str, why: str, grace_s: float) -> None:
        del run_id, why, grace_s

    def held(self) -> set[str]:
        return set()

    def close(self, grace_s: float) -> None:
        del grace_s
        for fd in self._open:
            os.close(fd)
        self._open.clear()
        for process, told in self._started:
            for pid in living(json.loads(told)["truth"]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()

    def presets(self) -> dict[str, list[str]]:
        return {}

    def start_by(self) -> float:
        return float("inf")

    def renew(self) -> None:
        pass

    def refuse(self, run_id: str) -> bool:
        del run_id
        return True

    def sweep(self, keep: set[str]) -> set[str]:
        return keep


def living(mark: str) -> list[int]:
    """Processes whose command line names this path."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in command:
                found.append(int(entry.name))
    return found
