"""What became of a run: the model's turns against the human's log and the bridge's own word for each wake.

Rules of this file:

- Pure. The truth is what the client gave its model; the bridge's word is only compared with it.
- Every turn of a user is exactly one wake's line or exactly one of the human's prompts; whatever else came is garbled.
- A dialog belongs to the human: a command that ran, or was refused, before he answered was answered by somebody else.
- A wake that was not accepted live is excused by a human act alone: one of the kind that its story names, at that time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.live.human import Act, Deed, Log

LINE = re.compile(
    r"Wakebridge: (1 new message|\d+ new messages) in (1 thread|\d+ threads)\. Read with: bridge inbox"
)
_NUMBER = re.compile(r"\b\d+\b")
ACCEPTED_SHARE_MIN = 0.7
CLOCK_S = 0.05
"""Files' times are a little coarser than clocks."""
NEAR_S = 8.0
BEFORE_S = 4.0
"""An act holds a wake this long after its end: the quiet window, and the time that a turn takes to show."""

_WORKS = frozenset({Deed.TYPE, Deed.SLOW, Deed.PASTE, Deed.DRAFT, Deed.POUNCE, Deed.DIALOG})
_KEYS = _WORKS | {Deed.SCROLL, Deed.RESIZE}
HELD_BY: tuple[tuple[re.Pattern[str], frozenset[Deed]], ...] = (
    (re.compile(r"draft"), _WORKS - {Deed.SLOW}),
    (re.compile(r"dialog"), frozenset({Deed.DIALOG})),
    (re.compile(r"human|typed|typing|types"), _KEYS),
    (re.compile(r"in the middle of something|busy"), _WORKS),
    (re.compile(r"not recognised|scroll|copy mode|mode|screen"), _KEYS),
)


@dataclass(frozen=True)
class Turn:
    """What the client gave its model as the user's, and when that was first seen."""

    at: float
    text: str


@dataclass(frozen=True)
class Hold:
    """A step of a wake's story that put it off, and the story's words for it."""

    at: float
    words: str


@dataclass(frozen=True)
class Wake:
    """What the bridge says of one wake. `touched`: when each attempt that may have brought its line began."""

    wake_id: str
    state: str
    created: float
    ended: float
    accepted: bool
    by: str = ""
    touched: tuple[float, ...] = ()
    holds: tuple[Hold, ...] = ()


@dataclass(frozen=True)
class Ran:
    """A command that needed approval: when its marker was made, when the model heard how it ended."""

    marked: float | None
    heard: float | None


@dataclass(frozen=True)
class Evidence:
    """All that is known of one cell."""

    log: Log
    turns: Sequence[Turn]
    wakes: Sequence[Wake]
    ran: dict[str, Ran]
    unread: int


@dataclass
class Account:
    """What it comes to. Each list has a sentence for everything that broke a promise."""

    wakes: int = 0
    accepted: int = 0
    by: Counter[str] = field(default_factory=Counter)
    deeds: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    prompts: int = 0
    dialogs: int = 0
    deferred: int = 0
    garbled: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """Every promise that did not hold, but for the share of the accepted: that is one of many cells."""
        return [*self.garbled, *self.answered, *self.lost, *self.twice, *self.unexplained]


def account(found: Evidence) -> Account:
    """Account for one cell."""
    acts = Counter(act.deed.value for act in found.log.acts)
    told = Account(wakes=len(found.wakes), deeds=acts, prompts=len(found.log.prompts))
    told.dialogs = sum(dialog.shown is not None for dialog in found.log.dialogs)
    told.garbled = _garbled(found)
    told.answered = _answered(found)
    told.twice = _twice(found)
    if found.unread:
        told.lost.append(f"{found.unread} messages are unread at the end")
    for wake in found.wakes:
        told.deferred += bool(wake.holds)
        told.words.update(_NUMBER.sub("N", hold.words) for hold in wake.holds)
        if wake.accepted:
            told.accepted += 1
            told.by[wake.by or "not said"] += 1
            continue
        excuse = _excuse(wake, found.log.acts)
        if excuse:
            told.held.append(f"{wake.wake_id} {wake.state}: {excuse}")
        else:
            said = "; ".join(sorted({hold.words for hold in wake.holds})) or "nothing held it"
            told.unexplained.append(f"{wake.wake_id} {wake.state}: no human act for: {said}")
    return told


def _garbled(found: Evidence) -> list[str]:
    given = Counter(turn.text.strip() for turn in found.turns if not LINE.fullmatch(turn.text.strip()))
    typed = Counter(prompt.text for prompt in found.log.prompts)
    strange = [f"a turn that nobody typed: {text!r}" for text in (given - typed).elements()]
    at = {prompt.text: prompt.at for prompt in found.log.prompts}
    lost = (typed - given).elements()
    return strange + [
        f"a prompt that did not arrive as typed: {text!r}{_near(found, at[text])}" for text in lost
    ]


def _near(found: Evidence, at: float) -> str:
    """What the human did then, and whether a line was on its way to the same box."""
    doing = next((act.deed.value for act in found.log.acts if act.began <= at <= act.ended + CLOCK_S), "more")
    touched = [time for wake in found.wakes for time in wake.touched if abs(time - at) < NEAR_S]
    lines = "".join(f", a line was handed over at {time:.1f}" for time in touched)
    turns = "".join(
        f", a turn at {one.at:.1f}: {one.text!r}" for one in found.turns if abs(one.at - at) < NEAR_S
    )
    return f", submitted at {at:.1f} (he {doing}){lines or ', no line near'}{turns}"


def _answered(found: Evidence) -> list[str]:
    said = []
    for dialog in found.log.dialogs:
        ran = found.ran.get(dialog.name, Ran(None, None))
        ended = [at for at in (ran.marked, ran.heard) if at is not None]
        if dialog.shown is not None and dialog.answered is None:
            said.append(f"{dialog.name}: the dialog went away before the human answered")
        elif any(dialog.answered is None or at < dialog.answered - CLOCK_S for at in ended):
            said.append(f"{dialog.name}: the command ended before the human answered")
        elif (ran.marked is not None) != (dialog.answer == "yes"):
            what = "ran" if ran.marked is not None else "did not run"
            said.append(f"{dialog.name}: the human said {dialog.answer or 'nothing'}, the command {what}")
    return said


def _twice(found: Evidence) -> list[str]:
    """Lines so far never outnumber the wakes whose line may have been handed over by then."""
    touched = sorted(min(wake.touched) for wake in found.wakes if wake.touched)
    lines = sorted(turn.at for turn in found.turns if LINE.fullmatch(turn.text.strip()))
    return [
        f"line {number} came when {begun} wakes had been handed over"
        for number, at in enumerate(lines, start=1)
        if (begun := sum(time <= at for time in touched)) < number
    ]


def _excuse(wake: Wake, acts: Sequence[Act]) -> str:
    """The last hold of the wake that an act of the human explains; "" when there is none."""
    for hold in reversed(wake.holds):
        deeds = next((deeds for words, deeds in HELD_BY if words.search(hold.words)), frozenset())
        for act in reversed(acts):
            if act.deed in deeds and act.began <= hold.at <= act.ended + BEFORE_S:
                when = f"{act.began:.1f}..{act.ended:.1f}"
                return f"{hold.words!r} at {hold.at:.1f}: the human {act.deed} ({when}) {act.text!r}"
    return ""


def too_few(accounts: Sequence[Account]) -> str:
    """What is wrong with the share that was accepted live, all cells of a client together; "" when it is enough."""
    wakes, accepted = sum(one.wakes for one in accounts), sum(one.accepted for one in accounts)
    if accepted >= ACCEPTED_SHARE_MIN * wakes:
        return ""
    return f"{accepted} of {wakes} wakes were accepted live: fewer than {ACCEPTED_SHARE_MIN:.0%}"
