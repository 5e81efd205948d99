"""The stage of a live trap: a fake program, the adapter that is to reach it, and a human at its keys.

Rules of this file:
- What an adapter claims is compared with what the program says really happened. Claimed accepted means: the program
  took exactly our text, once. Not touched means: not a byte of ours came.
- Some things are wrong whatever is claimed: text taken twice, a dialog or a password prompt answered, a human's prompt
  that came garbled, keys to clean up.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from bridge.conformance.live import LiveAdapter, Session, Wanted
from bridge.conformance.traps import Wrong
from bridge.conformance.truth import LOOK_AGAIN_S, Truth, until
from bridge.conformance.wrapped import module_command
from bridge.core.states import Evidence
from bridge.ports.runtime import Handed, Line

TEXT: Final = "Wakebridge: 3 unread in 1 thread. Read them."
QUIET_S: Final = 0.3
DEADLINE_S: Final = 8.0
READY_S: Final = 8.0
SETTLES_S: Final = 0.2
"""For so long a program has had nothing to write down when its truth is compared with a claim."""
SETTLES_S_MAX: Final = 1.5
TOUCHED_S: Final = 4.0
LATE_S: Final = 3.0
ENTERS_MAX: Final = 2
PASTE: Final = (b"\x1b[200~", b"\x1b[201~")
_UNTAKEN: Final = frozenset({Evidence.NOT_TOUCHED, Evidence.GONE, Evidence.ABSENT, Evidence.STRANDED})
_UNTOUCHED: Final = frozenset({Evidence.NOT_TOUCHED, Evidence.GONE, Evidence.ABSENT})


class Stage:
    """What a trap plays on. One session, any number of hands."""

    def __init__(self, adapter: LiveAdapter, folder: Path, told: Mapping[str, Any]) -> None:
        self._adapter, self._folder, self._told = adapter, folder, dict(told)
        self._session: Session | None = None
        self._hands = ThreadPoolExecutor(2, thread_name_prefix="hand")
        self._keys = itertools.count(1)
        self.typed: list[bytes] = []
        self.humans: list[str] = []
        self.claims: list[tuple[str, Handed]] = []
        self.enters_max = ENTERS_MAX

    @property
    def session(self) -> Session:
        """The session, once it is open."""
        assert self._session is not None  # noqa: S101  a play opens it first
        return self._session

    @property
    def truth(self) -> Truth:
        """What the program wrote down."""
        return self.session.truth

    @property
    def prompt(self) -> str:
        """The prompt of a line program, as it stands on its screen."""
        return str(self._told.get("prompt", "> "))

    def open(
        self,
        *,
        cols: int = 110,
        rows: int = 32,
        headless: bool = False,
        human: bool = False,
        from_shell: bool = False,
        queue: str = "",
        **oddity: object,
    ) -> Session:
        """Start the fake program with this oddity, and wait until it has drawn itself."""
        truth = self._folder / "truth"
        queued = self._queue(queue)
        native = {"native": str(self._folder), "late_s": LATE_S if queue == "late" else 0.0} if queue else {}
        command = self.fake(**oddity, **native)
        wanted = Wanted(command, truth, cols, rows, headless, human, from_shell, queued)
        self._session = self._adapter.open(wanted)
        until(self.truth.pid, "the fake program, ready", READY_S)
        return self._session

    def _queue(self, queue: str) -> list[str]:
        """The command of the program's own queue, which behaves like this."""
        told = {"queue": queue, "path": str(self._folder / "queue")}
        values = ["{native_id}", "{line}"]
        return module_command("programs.queued", json.dumps(told), *values, bare=True) if queue else []

    def fake(self, **oddity: object) -> list[str]:
        """The command of the fake program with this oddity."""
        told = {**self._told, **oddity, "truth": str(self._folder / "truth")}
        return module_command("programs.tui", json.dumps(told), bare=True)

    def hand(self, text: str = TEXT, *, key: str | None = None, **how: Any) -> Handed:  # noqa: ANN401  fields of Line
        """Hand a line over and note what is claimed."""
        line = Line(
            **{
                "key": key or f"wake_{next(self._keys)}",
                "text": text,
                "quiet_s": QUIET_S,
                "deadline_s": DEADLINE_S,
                **how,
            }
        )
        handed = self.session.hand_over(line)
        self.claims.append((text, handed))
        return handed

    def handing(self, text: str = TEXT, **how: Any) -> Future[Handed]:  # noqa: ANN401  fields of Line
        """The same beside us, so that something can happen meanwhile."""
        return self._hands.submit(lambda: self.hand(text, **how))

    def type(self, text: str) -> None:
        """Let the human type."""
        data = text.encode()
        self.typed.append(data)
        self.session.type(data)

    def says(self, prompt: str) -> None:
        """Let the human type a prompt and send it; it is to arrive whole, as a prompt of its own."""
        self.humans.append(prompt)
        self.type(prompt + "\r")

    def pause(self, s: float) -> None:
        """Let that much time go by: there is nothing to be seen that could be waited for."""
        time.sleep(s)

    def touched(self) -> bool:
        """Whether text of ours has reached the program."""
        return TEXT[:8].encode() in self.truth.got()

    def until_touched(self) -> None:
        """Wait until text of ours is there."""
        until(self.touched, "text of ours at the program", TOUCHED_S)

    def expect(self, handed: Handed, *allowed: Evidence) -> None:
        """Raise Wrong when what is claimed is a lie, or none of these."""
        self.honest()
        if handed.evidence not in allowed:
            wanted = " or ".join(evidence.value for evidence in allowed)
            message = f"claimed {_claimed(handed)}; {wanted} is right here"
            raise Wrong(message)

    def honest(self) -> None:
        """Raise Wrong unless all that was claimed is what the program says, and nothing was done that never may be."""
        self._settle()
        self._nothing_answered()
        self._prompts_are_right()
        for text in {text for text, _ in self.claims}:
            self._claims_are_true(text)
        self._no_stray_bytes()

    def _settle(self) -> None:
        """Wait until the program has nothing more to write down, and what the human sent is there."""
        end = time.monotonic() + SETTLES_S_MAX
        size, since = self.truth.size(), time.monotonic()
        while time.monotonic() < end and (time.monotonic() - since < SETTLES_S or self._humans_miss()):
            time.sleep(LOOK_AGAIN_S)
            if self.truth.size() != size:
                size, since = self.truth.size(), time.monotonic()

    def _humans_miss(self) -> bool:
        prompts = self.truth.prompts()
        return any(prompt not in prompts for prompt in self.humans)

    def close(self) -> None:
        """End everything."""
        self._hands.shutdown(wait=False, cancel_futures=True)
        if self._session is not None:
            self._session.close()

    def _nothing_answered(self) -> None:
        for event, what in (
            ("dialog", "an open dialog was answered"),
            ("secret", "text was typed into a password prompt"),
            ("pager", "keys were typed into a pager"),
            ("shell", "a shell was given the text as a command"),
            ("escape", "Escape was pressed"),
        ):
            if self.truth.events(event):
                raise Wrong(what)

    def _prompts_are_right(self) -> None:
        ours = {text for text, _ in self.claims}
        prompts = self.truth.prompts()
        humans = [prompt for prompt in prompts if prompt not in ours]
        for prompt in humans:
            if prompt not in self.humans:
                message = f"the program took {prompt!r}, which nobody sent"
                raise Wrong(message)
        if humans != self.humans[: len(humans)] or len(humans) < len(self.humans):
            message = f"the human sent {self.humans!r}, the program took {humans!r}"
            raise Wrong(message)

    def _claims_are_true(self, text: str) -> None:
        taken = self.truth.prompts().count(text)
        last = [handed for given, handed in self.claims if given == text][-1]
        if taken > 1:
            message = f"the program took the line {taken} times"
            raise Wrong(message)
        if last.evidence is Evidence.ACCEPTED and not taken:
            message = f"claimed {_claimed(last)}, but the program did not take the line"
            raise Wrong(message)
        if last.evidence in _UNTAKEN and taken:
            message = f"claimed {_claimed(last)}, but the program took the line"
            raise Wrong(message)
        claimed = {handed.evidence for given, handed in self.claims if given == text}
        if claimed <= _UNTOUCHED and text.encode() in self._ours():
            message = f"claimed {_claimed(last)}, but the text reached the program"
            raise Wrong(message)

    def _ours(self) -> bytes:
        """What the program got, without what the human typed."""
        got = self.truth.got()
        for data in self.typed:
            got = got.replace(data, b"", 1)
        return got

    def _no_stray_bytes(self) -> None:
        left = self._ours()
        for text in {text for text, _ in self.claims}:
            data = text.encode()
            for form in (PASTE[0] + data + PASTE[1], data):
                left = left.replace(form, b"")
        enters = left.count(b"\r")
        rest = left.replace(b"\r", b"")
        if rest:
            message = f"keys that nobody asked for: {rest[:40]!r}"
            raise Wrong(message)
        if enters > self.enters_max * len(self.claims):
            message = f"Enter was pressed {enters} times"
            raise Wrong(message)


def _claimed(handed: Handed) -> str:
    why = f" ({handed.why})" if handed.why else ""
    return f"{handed.evidence.value}{why}"
