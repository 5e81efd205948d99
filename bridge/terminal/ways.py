"""The program's native ways together: its name of the session, its queue, its record, its hooks.

Rules of this file:
- Looked at by times and descriptors, from the relay's one loop; nothing here waits.
- The name is looked up anew before something is queued: a human may have gone to another session.
- What the program itself shows is passed on as it comes; whom it concerns, the injector knows.
"""

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bridge.terminal.hooks import Hooks
from bridge.terminal.live import Live
from bridge.terminal.native import LOOK_KNOWN_S, LOOK_UNKNOWN_S, open_files, record_of, session_of
from bridge.terminal.native_queue import NativeQueue
from bridge.terminal.record import Record
from bridge.terminal.terms import By, Queued
from bridge.terminal.verdict import Verdict

RECORD_S: Final = 1.0
RECORD_EAGER_S: Final = 0.2
NEW_S: Final = 2.0


class Ways:
    """What the relay asks about one program."""

    def __init__(
        self, live: Live, program: str, environment: Mapping[str, str], hooks: Hooks | None = None
    ) -> None:
        """`program` and `environment` are the agent's."""
        self._live, self._hooks = live, hooks
        self._form = re.compile(live.native_file) if live.native_file else None
        self._queue = NativeQueue(live, program, environment) if live.queue_argv else None
        self._record: Record | None = None
        self._looked_at = self._read_at = 0.0
        self._agent = 0
        self._file_id: str | None = None
        self._named_at = 0.0

    @property
    def native_id(self) -> str | None:
        """What the program calls its session, as far as it is known."""
        return self._file_id or (self._hooks.native_id if self._hooks else None)

    @property
    def can_queue(self) -> bool:
        """Whether its queue can be used now: one that keeps a record takes nothing before it has begun it."""
        recorded = self._record is not None or not self._live.record_file
        free = self._queue is not None and not self._queue.under_way
        return free and recorded and self.native_id is not None

    @property
    def can_show(self) -> bool:
        """Whether it would show that it took a prompt."""
        recorded = bool(self._live.record_file) and self.native_id is not None
        return recorded or (self._hooks is not None and self._hooks.can_show)

    def fds(self) -> list[int]:
        """What is to be waited for."""
        return [] if self._hooks is None else [self._hooks.fd]

    def due_at(self, *, eager: bool) -> float | None:
        """When to come again."""
        if self._form is None or not self._agent:
            return None
        read_s = RECORD_EAGER_S if eager else RECORD_S
        look_at = self._looked_at + self._look_every_s(eager=eager)
        return look_at if self._record is None else min(look_at, self._read_at + read_s)

    def _look_every_s(self, *, eager: bool) -> float:
        if self._file_id is None or (self._live.record_file and self._record is None):
            return RECORD_EAGER_S if eager else LOOK_UNKNOWN_S
        return LOOK_KNOWN_S

    def serve(self, ready: set[int], agent: int, now: float, *, eager: bool) -> list[tuple[str, By]]:
        """Look where it is time to; returns the prompts that were seen taken, and by what."""
        found: list[tuple[str, By]] = []
        if self._hooks is not None and self._hooks.fd in ready:
            found += [(text, By.HOOK) for text in self._hooks.read(now)]
        self._agent = agent
        due_at = self.due_at(eager=eager)
        if due_at is not None and now >= due_at:
            if now >= self._looked_at + self._look_every_s(eager=eager):
                self._look(now)
            if self._record is not None:
                self._read_at = now
                found += [(text, By.RECORD) for text in self._record.prompts()]
        return found

    def give(self, line: str, now: float) -> None:
        """Queue a line for the session that the program has open now."""
        self._look(now)
        if self._queue is not None:
            self._queue.give(self.native_id, line, now)

    def queued(self, now: float) -> Queued | None:
        """What became of the line that was given, once; None while that is not known, and when none was."""
        return None if self._queue is None else self._queue.poll(now)

    def over(self, verdict: Verdict, stable_s: float, now: float, *, ours: bool = False) -> Verdict:
        """The screen's verdict with what the hooks told laid over it; `ours`: our text is in the box."""
        return verdict if self._hooks is None else self._hooks.over(verdict, stable_s, now, ours=ours)

    def close(self) -> None:
        """Leave nothing behind."""
        if self._queue is not None:
            self._queue.close()
        if self._record is not None:
            self._record.close()
        if self._hooks is not None:
            self._hooks.close()

    def _look(self, now: float) -> None:
        self._looked_at = now
        if self._form is None or not self._agent:
            return
        levels = open_files(self._agent)
        known, self._file_id = self._file_id, session_of(levels, self._form, self._file_id)
        if self._file_id != known:
            self._named_at = now
            if self._record is not None:
                self._record.close()
                self._record = None
        if self._record is None and self._live.record_file and self._file_id is not None:
            path = record_of(levels, self._live.record_file, self._file_id)
            if path is not None:
                # A session that is gone on with has its record open as soon as its name: a later one is new.
                self._record = self._opened(path, whole=now - self._named_at >= NEW_S)

    def _opened(self, path: Path, *, whole: bool) -> Record | None:
        with contextlib.suppress(OSError):
            return Record(path, self._live.record_turn, whole=whole)
        return None


def no_ways() -> Ways:
    """The ways of a program that has none."""
    return Ways(Live(), "", {})
