"""The words of one injection: what is asked, what is seen, what is to be done and how it ended.

Rules of this file:
- Values only. `inject` decides with them; each driver (the relay, tmux) does what a step says in its own way.
- A step says *what* is to be done, never with which bytes.
"""

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bridge.terminal.verdict import Verdict

TEXT_CHARS_MAX: Final = 200
_REFUSED_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


class Result(StrEnum):
    """How an injection ended."""

    ACCEPTED = "accepted"
    NOT_TOUCHED = "not_touched"
    UNVERIFIED = "unverified"
    STRANDED = "stranded"
    ABSENT = "absent"


class Why(StrEnum):
    """What stood in the way; QUEUED: the program's own queue has the line, or may have it."""

    NONE = ""
    HUMAN = "human"
    BUSY = "busy"
    DIALOG = "dialog"
    UNKNOWN = "unknown"
    STOPPED = "stopped"
    DRAFT = "draft"
    INVALID = "invalid"
    QUEUED = "queued"


class By(StrEnum):
    """What showed that the line was taken: the program's queue, its own record, its hook, or its screen."""

    NONE = ""
    QUEUE = "queue"
    RECORD = "record"
    HOOK = "hook"
    SCREEN = "screen"


class Act(StrEnum):
    """What the driver is to do now: paste a text without Enter, press Enter, or give a text to the program's queue.

    After QUEUE it calls `Injector.queued`.
    """

    NONE = "none"
    PASTE = "paste"
    ENTER = "enter"
    QUEUE = "queue"


class Queued(StrEnum):
    """What became of a QUEUE: there for certain, nothing was queued for certain, or not known."""

    QUEUED = "queued"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Request:
    """One line for the agent, and how long to wait for the right moment."""

    key: str
    text: str
    quiet_s: float
    wait_s: float
    deadline_s: float
    look_first: bool = False
    may_type: bool = True
    force: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """The terminal as it is now.

    `stable_s`: how long the verdict has been this one. `fresh`: all output was judged and no frame is half
    drawn. `whole`: no half escape or open paste from the human, and nothing on its way to the agent.
    `native`: the program's own queue can be used now. `can_show`: whether it can show that it took a prompt.
    """

    verdict: Verdict
    stable_s: float
    fresh: bool
    whole: bool
    human_idle_s: float | None
    stopped: bool
    bracketed: bool
    native: bool = False
    can_show: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended, as it is told to the host; `by`: the strongest evidence there is."""

    key: str
    result: Result
    why: Why = Why.NONE
    ms: int = 0
    enters: int = 0
    by: By = By.NONE


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done now, with which text, and the outcome when it is over."""

    act: Act = Act.NONE
    text: str = ""
    outcome: Outcome | None = None


def is_typeable(text: str) -> bool:
    """Whether a text is one short line without controls, bidi marks or other invisible letters."""
    return (
        len(text.strip()) > 0
        and len(text) <= TEXT_CHARS_MAX
        and not any(unicodedata.category(letter) in _REFUSED_CATEGORIES for letter in text)
    )
