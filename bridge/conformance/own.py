"""The user's own program, tried without a model: it is started, given a draft that is never sent, and ended.

Rules of this file:
- No Enter is ever pressed, and no prompt is sent that could reach a model: what it may cost is a start.
- It runs as the user runs it (his environment, his configuration), in a terminal of the suite's and, unless another
  folder is named, in an empty folder.
- A question of the program's (is this folder to be trusted?) is left unanswered, and said.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ
from typing import Final

from bridge.adapters.presets import Preset
from bridge.conformance.live import environment
from bridge.conformance.started import TOKEN, started_anew
from bridge.conformance.suite import OfAdapter, Told
from bridge.conformance.traps import Mark, NotHere, Tried, Wrong
from bridge.conformance.truth import until
from bridge.conformance.wrapped import module_command
from bridge.core.states import Rung
from bridge.ports.runs import EXITED, RunSpec
from bridge.terminal import Rules, tty
from bridge.terminal.judge import judge_for
from bridge.terminal.screen import BRACKETED_PASTE, Screen
from bridge.terminal.verdict import Seen

OWN: Final = "program"
COLS, ROWS = 110, 32
VERSION_S: Final = 5.0
EMPTY_S: Final = 30.0
DRAFT_S: Final = 5.0
STAYS_S: Final = 1.0
STABLE_S: Final = 0.5
END_S: Final = 3.0
POLL_S: Final = 0.05
RESUME_S: Final = 20.0
ASK_NO_MODEL: Final = frozenset({"codex", "claude", "gemini"})
"""Tried: asked to resume a session that there is not, they end before their model is asked."""
UNKNOWN_ID: Final = "00000000-0000-4000-8000-00000000dead"
DRAFT: Final = "Wakebridge doctor: a draft, never sent"
WHY_CHARS_MAX: Final = 300


class OwnTerminal:
    """The program in a pty of the suite's, and what its screen is judged to show."""

    def __init__(self, command: Sequence[str], rules: Rules, cwd: Path) -> None:
        self.screen, self.judge = Screen(COLS, ROWS), judge_for(rules)
        self._master, self._slave = os.openpty()
        ioctl(self._master, TIOCSWINSZ, struct.pack("HHHH", ROWS, COLS, 0, 0))
        self.screen.answer_with(self._write)
        self._process = subprocess.Popen(  # noqa: S603  the user's program, as the preset names it
            module_command("programs.seated", os.ttyname(self._slave), *command, bare=True),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
            cwd=cwd,
            start_new_session=True,
        )

    def paste(self, text: str) -> None:
        """Put text into the box, as a paste; no Enter."""
        data = text.encode()
        if self.screen.mode(BRACKETED_PASTE):
            data = b"\x1b[200~" + data + b"\x1b[201~"
        self._write(data)
        self.judge.sent(data, canonical=tty.is_canonical(self._master))

    def until(self, seen: Callable[[], bool], for_s: float) -> bool:
        """Let it run until that has been seen for half a second; False when it never was."""
        deadline, since = time.monotonic() + for_s, None
        while (now := time.monotonic()) < deadline:
            ended = self._process.poll() is not None
            read = self._read(0.0 if ended else POLL_S)
            self.judge.look(self.screen.frame(), hidden=tty.is_hidden(self._master))
            since = (since or now) if seen() else None
            if since is not None and now - since >= STABLE_S:
                return True
            if ended and not read:
                break
        return False

    @property
    def ended(self) -> int | None:
        """Its exit code, once it is gone."""
        return self._process.poll()

    def told(self) -> str:
        """The last lines that it shows, for a report."""
        rows = ["".join(row).strip() for row in self.screen.frame().rows]
        return " | ".join([row for row in rows if row][-6:])

    def close(self) -> None:
        """End it and all of its session: TERM, then KILL."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
                break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        os.close(self._slave)
        os.close(self._master)

    def _read(self, wait_s: float) -> bool:
        """Take in some of what it writes; False when there is nothing."""
        if not select.select([self._master], [], [], wait_s)[0]:
            return False
        with contextlib.suppress(OSError):
            self.screen.feed(os.read(self._master, 65536))
        return True

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._master, data)


@dataclass
class Own:
    """One program's trial, step by step; a step that failed leaves those out that build on it."""

    preset: Preset
    command: Sequence[str]
    cwd: Path
    told: Told
    presets_dir: Path | None = None
    may_resume: bool = False
    steps: list[Tried] = field(default_factory=list)
    version: str | None = None

    def run(self) -> OfAdapter:
        """All that can be tried of it."""
        self._step("tells its version", "It can be asked who it is: reports name the version.", self._version)
        if self.preset.looks is not None:
            with self._terminal() as terminal:
                self._in_terminal(terminal)
        if self.preset.command is not None and "resume" in self.preset.command.argv:
            self._step(
                "unknown session is refused",
                "Asked to resume a session that there is not, it must not begin another one that nobody knows of.",
                self._unknown_session,
            )
        return OfAdapter(OWN, available=True, why="", traps=tuple(self.steps))

    def _in_terminal(self, terminal: OwnTerminal) -> None:
        went_on = self._step(
            "empty box is recognised",
            "Its real input box is seen as empty: where it is not, it is never woken live.",
            lambda: self._empty(terminal),
        )
        if not went_on:
            return
        self._step(
            "draft is read exactly",
            "What stands in its real box is read letter for letter: where it is not, no Enter is ever pressed.",
            lambda: self._draft(terminal),
        )
        self._step(
            "nothing is sent",
            "A draft stays a draft: a program that sends what was pasted would be woken by a human's paste.",
            lambda: self._stays(terminal),
        )

    def _version(self) -> None:
        try:
            done = subprocess.run(  # noqa: S603  the user's program, as the preset names it
                [self.command[0], "--version"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=environment(),
                cwd=self.cwd,
                timeout=VERSION_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotHere(f"it did not answer to --version: {error}") from error
        lines = done.stdout.decode(errors="replace").strip().splitlines()
        if done.returncode or not lines:
            raise NotHere(f"it does not know --version (status {done.returncode})")
        self.version = lines[0][:100]

    def _empty(self, terminal: OwnTerminal) -> None:
        deadline = time.monotonic() + EMPTY_S
        seen = Seen.UNKNOWN
        while time.monotonic() < deadline and terminal.ended is None:
            before = seen
            if terminal.until(lambda: terminal.judge.verdict.seen is Seen.EMPTY, DRAFT_S):
                return
            seen = terminal.judge.verdict.seen
            if seen is before is Seen.DIALOG:
                break  # it waits for an answer
        if terminal.ended is not None:
            raise Wrong(f"it ended with status {terminal.ended}: {terminal.told()}")
        if seen is Seen.DIALOG:
            message = f"it asks something first (--cwd names a folder that it knows): {terminal.told()}"
            raise NotHere(message)
        raise Wrong(f"after {EMPTY_S:g} s its screen is judged {seen.value!r}: {terminal.told()}")

    def _draft(self, terminal: OwnTerminal) -> None:
        if self.preset.screen.paste_required and not terminal.screen.mode(BRACKETED_PASTE):
            raise Wrong("it has not switched bracketed paste on, which its preset says it does")
        terminal.paste(DRAFT)
        if not terminal.until(lambda: _is_draft(terminal), DRAFT_S):
            verdict = terminal.judge.verdict
            raise Wrong(
                f"the draft is judged {verdict.seen.value!r} {verdict.text[:60]!r}: {terminal.told()}"
            )

    def _stays(self, terminal: OwnTerminal) -> None:
        terminal.until(lambda: False, STAYS_S)
        if not _is_draft(terminal):
            raise Wrong(f"the draft is gone, though nobody pressed Enter: {terminal.told()}")

    def _unknown_session(self) -> None:
        if self.preset.name not in ASK_NO_MODEL and not self.may_resume:
            message = "it is not known to refuse before it asks its model: try it with --resume-unknown"
            raise NotHere(message)
        with started_anew(self.presets_dir, Path(self.command[0]).parent) as (book, notes):
            book.start(
                RunSpec(
                    run_id=f"run_doctor_{os.getpid()}",
                    workspace_id="doctor",
                    agent_id="doctor",
                    session_id="ses_doctor",
                    native_id=UNKNOWN_ID,
                    rung=Rung.RESUME,
                    preset=self.preset.name,
                    prompt="bridge doctor: this session is not known, so nobody reads this",
                    token=TOKEN,
                    kill_after_s=RESUME_S,
                    kill_grace_s=1.0,
                    cwd=str(self.cwd),
                )
            )
            run_id = f"run_doctor_{os.getpid()}"
            facts = until(lambda: notes.of(run_id, "ended"), "the end of the resume", RESUME_S + END_S)
            if notes.of(run_id, "proved") is not None:
                raise Wrong("it answered as a session that there is not")
            if facts["result"] == EXITED:
                raise Wrong("it ended with 0, as if it had resumed a session that there is not")

    @contextlib.contextmanager
    def _terminal(self) -> Iterator[OwnTerminal]:
        terminal = OwnTerminal(self.command, Rules(**self.preset.screen.arguments()), self.cwd)
        try:
            yield terminal
        finally:
            terminal.close()

    def _step(self, name: str, what: str, play: Callable[[], None]) -> bool:
        began, mark, why = time.monotonic(), Mark.PASSED, ""
        try:
            play()
        except (Wrong, NotHere) as found:
            mark, why = (Mark.FAILED if isinstance(found, Wrong) else Mark.SKIPPED), str(found)
        tried = Tried(name, what, mark, why[:WHY_CHARS_MAX], time.monotonic() - began)
        self.steps.append(tried)
        self.told(OWN, tried)
        return mark is Mark.PASSED


def own_command(preset: Preset, given: str | None) -> tuple[Sequence[str], str | None]:
    """The user's program for this preset, as he starts it; and why there is none, if so."""
    names = [given] if given else _names(preset)
    for name in names:
        if (found := shutil.which(name)) is not None:
            return (found,), None
    return (), f"{' or '.join(names)} is not on the PATH" if names else "the preset names no program"


def _names(preset: Preset) -> list[str]:
    live = getattr(preset, "live", None)
    programs = list(getattr(live, "programs", ()) or ())
    commands = [argv[0] for argv in preset.command.argv.values()] if preset.command is not None else []
    return list(dict.fromkeys([*programs, *(name for name in commands if not name.startswith("{"))]))


def _is_draft(terminal: OwnTerminal) -> bool:
    verdict = terminal.judge.verdict
    return verdict.seen is Seen.DRAFT and "".join(verdict.text.split()) == "".join(DRAFT.split())
