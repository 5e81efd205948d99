"""A person who works at a terminal with an agent in it: acts chosen at random, by a seed, each of them logged.

Rules of this file:

- The log is what he did, not what came of it: times are monotonic seconds, taken before the first key and after the
  last. A prompt counts as submitted when Enter was pressed, a dialog as answered just before its key was.
- He types like a person: a key at a time, Enter not on the heels of a letter. He knows nothing of the bridge, except
  that he sometimes begins to type exactly when he sees a wake's line.
- One act ends before the next begins; a draft is finished or cleared, a dialog is answered by himself.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from bridge.terminal.screen import BRACKETED_PASTE
from tests.live.terminal import COLS, ROWS, Terminal

KEY_S = (0.03, 0.15)
ENTER_S = (0.2, 0.6)
DIALOG_COMES_S = 20.0
DIALOG_STANDS_S = (2.0, 6.0)
DRAFT_STANDS_S = (1.0, 6.0)
LONG_DRAFTS = 0.12
POUNCE_S = 8.0
PAUSE_S = (0.1, 1.5)
SEEN_CHARS, SEEN_S = 8, 8.0
SLOWLY = "take your time"
MARKER = "please run marker"
_WORDS = (
    "check",
    "parser",
    "lines",
    "again",
    "before",
    "release",
    "notes",
    "ship",
    "still",
    "look",
    "flaky",
    "today",
)
_SEEN = b"Wakebridge"


class Deed(StrEnum):
    """What he does."""

    TYPE = "types and submits"
    SLOW = "submits what takes long"
    PASTE = "pastes and submits"
    DRAFT = "leaves a draft"
    SCROLL = "scrolls"
    RESIZE = "resizes"
    DIALOG = "has an approval dialog open"
    POUNCE = "types while a line comes"
    IDLE = "is idle"


DECK = {
    Deed.TYPE: 3,
    Deed.SLOW: 1,
    Deed.PASTE: 1,
    Deed.DRAFT: 3,
    Deed.SCROLL: 2,
    Deed.RESIZE: 1,
    Deed.DIALOG: 2,
    Deed.POUNCE: 4,
    Deed.IDLE: 5,
}
"""So often each in a round; the order is random."""


@dataclass(frozen=True)
class Act:
    """One thing he did."""

    deed: Deed
    began: float
    ended: float
    text: str = ""


@dataclass(frozen=True)
class Prompt:
    """What he submitted, and when he pressed Enter."""

    text: str
    at: float


@dataclass(frozen=True)
class Dialog:
    """A dialog that he had opened. No answer: it was gone before he gave one. Not shown: it never came."""

    name: str
    shown: float | None
    answer: str
    answered: float | None


@dataclass
class Log:
    """All that he did, the oldest first."""

    acts: list[Act] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    dialogs: list[Dialog] = field(default_factory=list)


@dataclass(frozen=True)
class Habits:
    """What he knows of the program before him: how it looks and which keys it takes."""

    dialog: re.Pattern[str]
    yes: bytes
    no: bytes
    scroll: Callable[[Terminal, random.Random], tuple[bytes, bytes]]
    clear: bytes = b"\x15"


class Human:
    """The person. `longest_s`: the longest deferral; some of his drafts stand longer."""

    def __init__(
        self, name: str, terminal: Terminal, habits: Habits, chance: random.Random, longest_s: float
    ) -> None:
        self.log, self._name, self._terminal, self._habits = Log(), name, terminal, habits
        self._chance, self._longest_s = chance, longest_s
        self._stop, self._line = threading.Event(), threading.Event()
        self._count, self._tail = 0, b""
        self._deeds = {
            Deed.TYPE: self._type,
            Deed.SLOW: self._slow,
            Deed.PASTE: self._paste,
            Deed.DRAFT: self._draft,
            Deed.SCROLL: self._scroll,
            Deed.RESIZE: self._resize,
            Deed.DIALOG: self._dialog,
            Deed.POUNCE: self._pounce,
            Deed.IDLE: self._idle,
        }
        terminal.on_output(self._look)
        self._thread = threading.Thread(target=self._work, name=f"human-{name}", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """End the act he is at, and rest."""
        self._stop.set()
        self._thread.join()

    def say(self, text: str) -> None:
        """Type a prompt and submit it."""
        self._keys(text)
        self._enter(text)

    def _work(self) -> None:
        deck: list[Deed] = []
        while not self._stop.is_set() and self._terminal.alive:
            deck = deck or self._chance.sample(list(DECK), sum(DECK.values()), counts=list(DECK.values()))
            deed = deck.pop()
            began = time.monotonic()
            text = self._deeds[deed]()
            self.log.acts.append(Act(deed, began, time.monotonic(), text))
            self._rest(PAUSE_S)

    # --- acts ---------------------------------------------------------------------------------------------

    def _type(self) -> str:
        self.say(text := self._prompt())
        return text

    def _slow(self) -> str:
        self.say(text := f"{self._prompt()} {SLOWLY}")
        return text

    def _paste(self) -> str:
        if not self._terminal.mode(BRACKETED_PASTE):
            # A terminal then sends the letters alone, and tmux drops the brackets: two lines would be two prompts.
            self._terminal.send((text := self._prompt()).encode())
            self._enter(text)
            return text
        text = f"{self._prompt()}\n{self._prompt()}"
        # A terminal sends the line ends of what it pastes as Enter.
        self._terminal.send(b"\x1b[200~" + text.replace("\n", "\r").encode() + b"\x1b[201~")
        self._enter(text)
        return text

    def _draft(self) -> str:
        text = self._prompt()
        half = self._chance.randrange(3, len(text) - 2)
        self._keys(text[:half])
        if self._chance.random() < LONG_DRAFTS:
            self._rest((self._longest_s + 2, self._longest_s + 5))
        else:
            self._rest(DRAFT_STANDS_S)
        if self._chance.random() < 0.3:
            self._resize()
            self._rest(PAUSE_S)
        if self._chance.random() < 0.3:
            self._terminal.send(self._habits.clear)
            return f"{text[:half]} (cleared)"
        self._keys(text[half:])
        self._enter(text)
        return text

    def _scroll(self) -> str:
        there, back = self._habits.scroll(self._terminal, self._chance)
        self._terminal.send(there)
        self._rest((1.0, 4.0))
        self._terminal.send(back)
        return ""

    def _resize(self) -> str:
        sizes = [(self._chance.randint(84, 140), self._chance.randint(24, 44)) for _ in range(2)]
        for cols, rows in [*sizes, (COLS, ROWS)]:
            self._terminal.resize(cols, rows)
            self._rest((0.1, 0.8))
        return " ".join(f"{cols}x{rows}" for cols, rows in sizes)

    def _dialog(self) -> str:
        name = f"{self._name}-{self._count}"
        text = f"{MARKER} {name}"
        self._count += 1
        self.say(text)
        is_open = self._habits.dialog.search
        if not self._terminal.until(lambda shown: bool(is_open(shown)), DIALOG_COMES_S):
            self.log.dialogs.append(Dialog(name, None, "", None))
            return f"{text} (no dialog came)"
        shown = time.monotonic()
        self._rest(DIALOG_STANDS_S)
        if not is_open(self._terminal.text()):
            self.log.dialogs.append(Dialog(name, shown, "", None))
            return f"{text} (gone before it was answered)"
        answer = self._chance.choice(["yes", "no"])
        self.log.dialogs.append(Dialog(name, shown, answer, time.monotonic()))
        self._terminal.send(self._habits.yes if answer == "yes" else self._habits.no)
        self._terminal.until(lambda shown: not is_open(shown), DIALOG_COMES_S)
        return f"{text} ({answer})"

    def _pounce(self) -> str:
        self._line.clear()
        if not self._line.wait(POUNCE_S):
            return "(no line came)"
        text = self._prompt(words=2)
        for letter in text:
            self._terminal.send(letter.encode())
            self._rest((0.02, 0.06))
        self._enter(text, blind=True)
        return text

    def _idle(self) -> str:
        self._rest((2.0, 8.0))
        return ""

    # --- hands and eyes -----------------------------------------------------------------------------------

    def _prompt(self, words: int = 4) -> str:
        self._count += 1
        return " ".join([f"{self._name} {self._count}", *self._chance.choices(_WORDS, k=words)])

    def _keys(self, text: str) -> None:
        for letter in text:
            self._terminal.send(letter.encode())
            self._rest(KEY_S)

    def _enter(self, text: str, *, blind: bool = False) -> None:
        """He sees what he has written before he sends it, unless he is in a hurry."""
        end = _squash(text)[-SEEN_CHARS:]
        if not blind:
            self._terminal.until(lambda shown: end in _squash(shown), SEEN_S)
        self._rest(ENTER_S)
        self.log.prompts.append(Prompt(text, time.monotonic()))
        self._terminal.send(b"\r")

    def _rest(self, span: tuple[float, float]) -> None:
        time.sleep(self._chance.uniform(*span))  # the person's own pace

    def _look(self, data: bytes) -> None:
        seen = self._tail + data
        if _SEEN in seen:
            self._line.set()
        self._tail = seen[-len(_SEEN) + 1 :]


def _squash(text: str) -> str:
    return "".join(text.split())
