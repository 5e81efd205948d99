"""Typing one line into the agent's input box, and knowing whether it was taken.

Rules of this file:
- Pure: requests, views of the terminal and times in; bytes to write and outcomes out.
- The text itself is the probe. It is written without Enter, and Enter follows only when the box shows
  exactly our text, unchanged. A wake typed into an open approval dialog would approve the command.
- Nobody types over a human: not while he types, not into his draft. Force skips the wait, never the look at
  the box.
- What went wrong is reported, never cleaned up with more keys.
- A key (the wake's id) is typed once. Its outcome is remembered, so that whoever asks again is told the
  truth.
"""

import unicodedata
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from bridge.terminal.verdict import Seen, Verdict

TEXT_CHARS_MAX: Final = 200
KEYS_KEPT: Final = 1_000
SETTLED_S: Final = 0.3
PROBE_S_MIN: Final = 0.12
PROBE_UNCHANGED_S: Final = 0.05
PROBE_S_MAX: Final = 2.0
ENTER_AGAIN_S: Final = 0.8
CONFIRM_S_MAX: Final = 2.5
ENTERS_MAX: Final = 2
_ENTER: Final = b"\r"
_REFUSED_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


class Result(StrEnum):
    """How an injection ended."""

    ACCEPTED = "accepted"
    NOT_TOUCHED = "not_touched"
    UNVERIFIED = "unverified"
    STRANDED = "stranded"
    ABSENT = "absent"


class Why(StrEnum):
    """What stood in the way."""

    NONE = ""
    HUMAN = "human"
    BUSY = "busy"
    DIALOG = "dialog"
    UNKNOWN = "unknown"
    STOPPED = "stopped"
    DRAFT = "draft"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Request:
    """One line to type, and how long to wait for the right moment."""

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
    """

    verdict: Verdict
    stable_s: float
    fresh: bool
    whole: bool
    human_idle_s: float | None
    stopped: bool
    bracketed: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended, as it is told to the host."""

    key: str
    result: Result
    why: Why = Why.NONE
    ms: int = 0
    enters: int = 0


class _Phase(StrEnum):
    GATE = "gate"
    PROBE = "probe"
    CONFIRM = "confirm"


@dataclass(slots=True)
class _Job:
    request: Request
    began_at: float
    look: bool
    may_type: bool
    phase: _Phase = _Phase.GATE
    at: float = 0.0
    entered_at: float = 0.0
    enters: int = 0

    def is_late(self, now: float) -> bool:
        """Whether the host has stopped waiting: it is to hear what is known by then."""
        return now - self.began_at >= self.request.deadline_s


@dataclass(slots=True)
class Step:
    """What is to be done now: bytes for the agent, and the outcome when it is over."""

    write: bytes = b""
    outcome: Outcome | None = None


@dataclass(slots=True)
class Injector:
    """One injection at a time, and the memory of those before."""

    paste_required: bool = False
    _job: _Job | None = None
    _ended: "OrderedDict[str, tuple[Outcome, str]]" = field(default_factory=OrderedDict)

    @property
    def active(self) -> bool:
        """Whether an injection waits or is under way."""
        return self._job is not None

    @property
    def key(self) -> str | None:
        """The key of the injection that waits or is under way."""
        return None if self._job is None else self._job.request.key

    @property
    def holding(self) -> bool:
        """Whether the human's keys must wait: our text may be in the box."""
        return self._job is not None and self._job.phase is not _Phase.GATE

    def request(self, request: Request, now: float) -> Outcome | None:
        """Begin; return the outcome at once when there is nothing to do."""
        before, typed = self._ended.get(request.key, (None, request.text))
        if before is not None and before.result is Result.ACCEPTED:
            return before
        if not is_typeable(request.text):
            return Outcome(request.key, Result.NOT_TOUCHED, Why.INVALID)
        if self._job is not None:
            return None if self._job.request.key == request.key else _refused(request, Why.BUSY)
        touched = before is not None
        # What is looked for is what was typed: the line's counts may be others by now.
        self._job = _Job(
            replace(request, text=typed),
            began_at=now,
            look=request.look_first or touched,
            may_type=request.may_type and not touched,
        )
        return None

    def abandon_waiting(self) -> None:
        """Forget an injection that has touched nothing yet: whoever asked is gone."""
        if self._job is not None and self._job.phase is _Phase.GATE:
            self._job = None

    def step(self, view: View, now: float) -> Step:
        """Go on as far as the view allows."""
        job = self._job
        if job is None:
            return Step()
        if job.phase is _Phase.GATE:
            step = self._gate(job, view, now)
        elif job.phase is _Phase.PROBE:
            step = self._probe(job, view, now)
        else:
            step = self._confirm(job, view, now)
        if step.outcome is not None:
            self._job = None
            if job.phase is not _Phase.GATE:
                self._remember(step.outcome, job.request.text)
        return step

    def finish(self, view: View, now: float) -> Step:
        """The agent has ended: say how far the injection came."""
        step = self.step(view, now)
        job = self._job
        if step.outcome is not None or job is None:
            return step
        touched = job.phase is not _Phase.GATE
        step = self._end(job, Result.UNVERIFIED if touched else Result.NOT_TOUCHED, now, Why.STOPPED)
        self._job = None
        return step

    def _gate(self, job: _Job, view: View, now: float) -> Step:
        ours = _is_ours(job, view)
        if job.look and view.fresh and view.stable_s >= SETTLED_S:
            gone = view.verdict.seen is Seen.EMPTY or (view.verdict.seen is Seen.DRAFT and not ours)
            if gone and not job.may_type:
                return self._end(job, Result.ABSENT, now)
        why = self._why_not(job, view, ours=job.look and ours)
        waited_s = now - job.began_at
        if why is None and waited_s < job.request.deadline_s:
            job.at = now
            if job.look and ours:
                return self._enter(job, now)
            job.phase = _Phase.PROBE
            return Step(write=_typed(job.request.text, bracketed=view.bracketed))
        left_s = min(job.request.wait_s, job.request.deadline_s) - waited_s
        if left_s <= 0 or (why is Why.HUMAN and _quiet_left_s(job, view) > left_s):
            return self._end(job, Result.NOT_TOUCHED, now, why or Why.UNKNOWN)
        return Step()

    def _why_not(self, job: _Job, view: View, *, ours: bool) -> Why | None:
        if view.stopped:
            return Why.STOPPED
        if _quiet_left_s(job, view) > 0 or not view.whole:
            return Why.HUMAN
        seen = view.verdict.seen
        if seen is not Seen.EMPTY and not ours:
            return Why(seen.value)
        if not view.fresh or view.stable_s < SETTLED_S:
            return Why.UNKNOWN
        if not ours and (not job.may_type or (self.paste_required and not view.bracketed)):
            return Why.UNKNOWN
        return None

    def _probe(self, job: _Job, view: View, now: float) -> Step:
        since_s = now - job.at
        if (
            _is_ours(job, view)
            and view.fresh
            and since_s >= PROBE_S_MIN
            and view.stable_s >= PROBE_UNCHANGED_S
        ):
            return self._enter(job, now)
        if since_s >= PROBE_S_MAX or job.is_late(now):
            return self._end(job, Result.UNVERIFIED, now, _named(view))
        return Step()

    def _confirm(self, job: _Job, view: View, now: float) -> Step:
        ours = _is_ours(job, view)
        if (
            view.fresh
            and view.verdict.seen in (Seen.EMPTY, Seen.BUSY, Seen.DIALOG)
            and not _still_there(job, view)
        ):
            return self._end(job, Result.ACCEPTED, now)
        since_s = now - job.entered_at
        if ours and view.fresh and job.enters < ENTERS_MAX and since_s >= ENTER_AGAIN_S:
            return self._enter(job, now)
        if (now - job.at >= CONFIRM_S_MAX or job.is_late(now)) and since_s >= ENTER_AGAIN_S:
            return self._end(job, Result.STRANDED if ours else Result.UNVERIFIED, now, _named(view))
        return Step()

    def _enter(self, job: _Job, now: float) -> Step:
        if job.phase is not _Phase.CONFIRM:
            job.at = now
        job.phase, job.entered_at = _Phase.CONFIRM, now
        job.enters += 1
        return Step(write=_ENTER)

    def _end(self, job: _Job, result: Result, now: float, why: Why = Why.NONE) -> Step:
        ms = round((now - job.began_at) * 1000)
        return Step(outcome=Outcome(job.request.key, result, why, ms, job.enters))

    def _remember(self, outcome: Outcome, text: str) -> None:
        self._ended[outcome.key] = (outcome, text)
        self._ended.move_to_end(outcome.key)
        while len(self._ended) > KEYS_KEPT:
            self._ended.popitem(last=False)


def is_typeable(text: str) -> bool:
    """Whether a text is one short line without controls, bidi marks or other invisible letters."""
    return (
        len(text.strip()) > 0
        and len(text) <= TEXT_CHARS_MAX
        and not any(unicodedata.category(letter) in _REFUSED_CATEGORIES for letter in text)
    )


def _refused(request: Request, why: Why) -> Outcome:
    return Outcome(request.key, Result.NOT_TOUCHED, why)


def _typed(text: str, *, bracketed: bool) -> bytes:
    data = text.encode()
    return b"\x1b[200~" + data + b"\x1b[201~" if bracketed else data


def _squash(text: str) -> str:
    # Boxes wrap and indent; letters are what must agree.
    return "".join(text.split())


def _is_ours(job: _Job, view: View) -> bool:
    return view.verdict.seen is Seen.DRAFT and _squash(view.verdict.text) == _squash(job.request.text)


def _still_there(job: _Job, view: View) -> bool:
    return _squash(job.request.text) in _squash(view.verdict.line)


def _quiet_left_s(job: _Job, view: View) -> float:
    if job.request.force or view.human_idle_s is None:
        return 0.0
    return max(0.0, job.request.quiet_s - view.human_idle_s)


def _named(view: View) -> Why:
    return Why.NONE if view.verdict.seen is Seen.EMPTY else Why(view.verdict.seen.value)
