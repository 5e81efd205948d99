"""Handing one line to the agent, and knowing whether it was taken.

Rules of this file:
- Pure: requests, views of the terminal and times in; what to do and outcomes out.
- The program's own queue first, where it has one: no key is pressed, so no dialog can be answered and no draft
  touched. A line that may be in the queue is never queued or typed again.
- When typing, the text itself is the probe. It is pasted without Enter, and Enter follows only when the box
  shows exactly our text, unchanged. A wake typed into an open approval dialog would approve the command.
- Nobody types over a human: not while he types, not into his draft. Force skips the wait, never the look at
  the box.
- What went wrong is reported, never cleaned up with more keys. Escape is never pressed: it ends a turn.
- A key (the wake's id) is handed over once. Its outcome is remembered, so that whoever asks again is told the
  truth.
- The program's own record or hook proves more than its screen, and is waited for a moment where there is one.
"""

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from bridge.terminal.terms import Act, By, Outcome, Queued, Request, Result, Step, View, Why, is_typeable
from bridge.terminal.verdict import AT_PROMPT, Seen

KEYS_KEPT: Final = 1_000
SETTLED_S: Final = 0.3
PROBE_S_MIN: Final = 0.12
PROBE_UNCHANGED_S: Final = 0.05
PROBE_S_MAX: Final = 2.0
ENTER_AGAIN_S: Final = 0.8
CONFIRM_S_MAX: Final = 2.5
SILENT_S_MAX: Final = 6.0
SILENT_ENTER_AGAIN_S: Final = 4.0
"""A program that shows nothing may have read the first Enter; the second would answer what that has brought up."""
ENTERS_MAX: Final = 2
EVIDENCE_S_MAX: Final = 1.0


class _Phase(StrEnum):
    GATE = "gate"
    QUEUEING = "queueing"
    QUEUED = "queued"
    PROBE = "probe"
    CONFIRM = "confirm"
    PROOF = "proof"


_OURS_IN_BOX: Final = frozenset({_Phase.PROBE, _Phase.CONFIRM})
_IN_QUEUE: Final = frozenset({_Phase.QUEUEING, _Phase.QUEUED})


@dataclass(slots=True)
class _Job:
    request: Request
    began_at: float
    look: bool
    may_type: bool
    touched: bool = False
    refused: bool = False
    by: By = By.NONE
    phase: _Phase = _Phase.GATE
    at: float = 0.0
    entered_at: float = 0.0
    shown: By = By.NONE
    enters: int = 0

    def is_late(self, now: float) -> bool:
        """Whether the host has stopped waiting: it is to hear what is known by then."""
        return now - self.began_at >= self.request.deadline_s


@dataclass(slots=True)
class Injector:
    """One injection at a time, and the memory of those before.

    `settled_s`: how long the box must have looked the same before anything is handed over.
    """

    paste_required: bool = False
    settled_s: float = SETTLED_S
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
    def text(self) -> str | None:
        """The text of the injection that waits or is under way."""
        return None if self._job is None else self._job.request.text

    @property
    def touched(self) -> bool:
        """Whether the text of the injection under way may be with the program by now."""
        return self._job is not None and (self._job.touched or self._job.phase is not _Phase.GATE)

    @property
    def holding(self) -> bool:
        """Whether the human's keys must wait: our text may be in the box."""
        return self._job is not None and self._job.phase in _OURS_IN_BOX

    def request(self, request: Request, now: float) -> Outcome | None:
        """Begin; return the outcome at once when there is nothing to do."""
        before, handed = self._ended.get(request.key, (None, request.text))
        if before is not None and (before.result is Result.ACCEPTED or before.why is Why.QUEUED):
            return before
        if not is_typeable(request.text):
            return Outcome(request.key, Result.NOT_TOUCHED, Why.INVALID)
        if self._job is not None:
            return None if self._job.request.key == request.key else _refused(request, Why.BUSY)
        touched = before is not None
        # What is looked for is what was typed: the line's counts may be others by now.
        self._job = _Job(
            replace(request, text=handed),
            began_at=now,
            look=request.look_first or touched,
            may_type=request.may_type and not touched,
            touched=touched,
        )
        return None

    def abandon_waiting(self) -> None:
        """Forget an injection that has touched nothing yet: whoever asked is gone."""
        if self._job is not None and self._job.phase is _Phase.GATE:
            self._job = None

    def queued(self, result: Queued, now: float) -> None:
        """What became of the QUEUE that the last step asked for; nothing when it is no longer waited for."""
        job = self._job
        if job is None or job.phase is not _Phase.QUEUEING:
            return
        if result is Queued.REFUSED:
            job.refused, job.phase = True, _Phase.GATE
        else:
            job.by = By.QUEUE if result is Queued.QUEUED else By.NONE
            job.phase, job.at = _Phase.QUEUED, now

    def untyped(self) -> None:
        """What the last step asked to type was not typed: the box was another by then. Back to the gate."""
        job = self._job
        if job is not None and job.phase is _Phase.PROBE:
            job.phase = _Phase.GATE

    def taken(self, text: str, by: By) -> Outcome | None:
        """A prompt of this text was taken: it proves the injection under way, if that is what was handed over.

        Otherwise returns the outcome that has become ACCEPTED by it: the oldest of these words that was left open.
        """
        job = self._job
        if job is not None and self.touched and _squash(job.request.text) == _squash(text):
            job.shown = by
            return None
        for key, (outcome, handed) in self._ended.items():
            if outcome.result is not Result.ACCEPTED and _squash(handed) == _squash(text):
                accepted = replace(outcome, result=Result.ACCEPTED, why=Why.NONE, by=by)
                self._ended[key] = (accepted, handed)
                return accepted
        return None

    def step(self, view: View, now: float) -> Step:
        """Go on as far as the view allows."""
        job = self._job
        if job is None:
            return Step()
        if job.shown:
            step = self._end(job, Result.ACCEPTED, now, by=job.shown)
        elif job.phase is _Phase.GATE:
            step = self._gate(job, view, now)
        elif job.phase in _IN_QUEUE:
            step = self._queue(job, view, now)
        elif job.phase is _Phase.PROBE:
            step = self._probe(job, view, now)
        elif job.phase is _Phase.CONFIRM:
            step = self._confirm(job, view, now)
        else:
            step = self._proof(job, view, now)
        if step.outcome is not None:
            self._job = None
            if job.phase is not _Phase.GATE or step.outcome.result is Result.ACCEPTED:
                self._remember(step.outcome, job.request.text)
        return step

    def finish(self, view: View, now: float) -> Step:
        """The agent has ended: say how far the injection came."""
        step = self.step(view, now)
        job = self._job
        if step.outcome is not None or job is None:
            return step
        result = Result.NOT_TOUCHED if job.phase is _Phase.GATE else Result.UNVERIFIED
        if job.phase is _Phase.PROOF:
            step = self._end(job, Result.ACCEPTED, now, by=By.SCREEN)
        else:
            why = Why.QUEUED if job.phase in _IN_QUEUE else Why.STOPPED
            step = self._end(job, result, now, why, by=job.by)
        self._job = None
        return step

    def _gate(self, job: _Job, view: View, now: float) -> Step:
        ours = _is_ours(job, view)
        if job.look and view.fresh and view.stable_s >= self.settled_s:
            gone = view.verdict.seen is Seen.EMPTY or (view.verdict.seen is Seen.DRAFT and not ours)
            if gone and not job.may_type:
                return self._end(job, Result.ABSENT, now)
        native = view.native and job.may_type and not job.refused and not (job.look and ours)
        why = self._why_not(job, view, ours=job.look and ours, native=native)
        waited_s = now - job.began_at
        if why is None and waited_s < job.request.deadline_s:
            job.at = now
            if job.look and ours:
                return self._enter(job, now)
            job.phase = _Phase.QUEUEING if native else _Phase.PROBE
            return Step(Act.QUEUE if native else Act.PASTE, job.request.text)
        left_s = min(job.request.wait_s, job.request.deadline_s) - waited_s
        if left_s <= 0 or (why is Why.HUMAN and _quiet_left_s(job, view) > left_s):
            return self._end(job, Result.NOT_TOUCHED, now, why or Why.UNKNOWN)
        return Step()

    def _why_not(self, job: _Job, view: View, *, ours: bool, native: bool) -> Why | None:
        if view.stopped:
            return Why.STOPPED
        if _quiet_left_s(job, view) > 0 or not view.whole:
            return Why.HUMAN
        seen = view.verdict.seen
        if seen is not Seen.EMPTY and not ours and not (native and seen in AT_PROMPT):
            return Why(seen.value)
        if not view.fresh or view.stable_s < self.settled_s:
            return Why.UNKNOWN
        if not (ours or native) and (not job.may_type or (self.paste_required and not view.bracketed)):
            return Why.UNKNOWN
        return None

    def _queue(self, job: _Job, view: View, now: float) -> Step:
        if job.by is By.QUEUE and not view.can_show:
            # It has no way to show more: what its queue has said is what there is to know.
            return self._end(job, Result.ACCEPTED, now, by=job.by)
        if job.is_late(now):
            return self._end(job, Result.UNVERIFIED, now, Why.QUEUED, by=job.by)
        return Step()

    def _probe(self, job: _Job, view: View, now: float) -> Step:
        since_s = now - job.at
        if (
            _is_ours(job, view)
            and view.fresh
            and since_s >= PROBE_S_MIN
            and view.stable_s >= PROBE_UNCHANGED_S
        ):
            return self._enter(job, now)
        silent = view.verdict.seen is Seen.EMPTY and self._is_silent(view, since_s)
        limit_s = SILENT_S_MAX if silent else PROBE_S_MAX
        if since_s >= limit_s or job.is_late(now):
            return self._end(job, Result.UNVERIFIED, now, _named(view))
        return Step()

    def _confirm(self, job: _Job, view: View, now: float) -> Step:
        ours = _is_ours(job, view)
        if (
            view.fresh
            and view.verdict.seen in (Seen.EMPTY, Seen.BUSY, Seen.DIALOG)
            and not view.verdict.covered
            and not _still_there(job, view)
        ):
            job.phase, job.at = _Phase.PROOF, now
            return self._proof(job, view, now)
        since_s, silent = now - job.entered_at, ours and self._is_silent(view, now - job.at)
        again_s = SILENT_ENTER_AGAIN_S if silent else ENTER_AGAIN_S
        if ours and view.fresh and job.enters < ENTERS_MAX and since_s >= again_s:
            return self._enter(job, now)
        limit_s = SILENT_S_MAX if silent else CONFIRM_S_MAX
        if (now - job.at >= limit_s or job.is_late(now)) and since_s >= ENTER_AGAIN_S:
            return self._end(job, Result.STRANDED if ours else Result.UNVERIFIED, now, _named(view))
        return Step()

    def _proof(self, job: _Job, view: View, now: float) -> Step:
        if view.can_show and now - job.at < EVIDENCE_S_MAX and not job.is_late(now):
            return Step()
        return self._end(job, Result.ACCEPTED, now, by=By.SCREEN)

    def _is_silent(self, view: View, since_s: float) -> bool:
        """Whether a program with a box of its own has shown nothing since our keys: it may not have read them yet.

        The human's own keys would come behind them, into our line; and he sees nothing of what he types either.
        """
        return self.paste_required and view.stable_s >= since_s

    def _enter(self, job: _Job, now: float) -> Step:
        if job.phase is not _Phase.CONFIRM:
            job.at = now
        job.phase, job.entered_at = _Phase.CONFIRM, now
        job.enters += 1
        return Step(Act.ENTER)

    def _end(self, job: _Job, result: Result, now: float, why: Why = Why.NONE, *, by: By = By.NONE) -> Step:
        ms = round((now - job.began_at) * 1000)
        return Step(outcome=Outcome(job.request.key, result, why, ms, job.enters, by))

    def _remember(self, outcome: Outcome, text: str) -> None:
        self._ended[outcome.key] = (outcome, text)
        self._ended.move_to_end(outcome.key)
        while len(self._ended) > KEYS_KEPT:
            self._ended.popitem(last=False)


def _refused(request: Request, why: Why) -> Outcome:
    return Outcome(request.key, Result.NOT_TOUCHED, why)


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
