"""The checkers: what must hold after every commit, at every key pressed, and when a history is over.

A checker names one rule and knows nothing of how the shell keeps it: it compares what is committed, what was decided
on what, and what the terminals saw. The first broken rule ends the history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bridge.core.effects import BeginAttempt, MoveTo
from bridge.core.policy import Policy
from bridge.core.states import WAKE_FINAL, Evidence, MessageKind, Rung, ThreadStatus, WakeState
from bridge.core.wake import TRANSITIONS, Handled
from bridge.core.wake_events import (
    Accepted,
    CancelAsked,
    CursorMoved,
    Due,
    HandedOver,
    Joined,
    Postponed,
    RunOver,
    TargetRaised,
    TouchAllowed,
    Wake,
)
from bridge.ports.runtime import Line
from bridge.simulation.engine import Engine, seconds_of, us_of
from bridge.simulation.hold_checks import HoldWatch
from bridge.simulation.records import HANDED, OPERATORS
from bridge.simulation.run_checks import Broken, RunWatch
from bridge.simulation.store import Change, Key, Message, Said, Store, ThreadRow, UnitOfWork

SHUT = frozenset({ThreadStatus.BLOCKED, ThreadStatus.CLOSED})
RUNGS = (Rung.LIVE, Rung.RESUME, Rung.SPAWN)
TIMELESS = (TargetRaised, CancelAsked, CursorMoved)  # what is decided without the clock
LATE_S_MAX = 7.5
RELOST_S = 6.5
Pair = tuple[str, str]


class Watch:
    """All checkers of one history, and what it was made of."""

    def __init__(
        self, engine: Engine, store: Store, policy: Policy, members: Mapping[str, list[str]]
    ) -> None:
        self.engine, self.store, self.policy, self.members = engine, store, policy, members
        self.counts: Counter[str] = Counter()
        self.cells: Counter[tuple[WakeState, type[Any]]] = Counter()
        self.faults: Counter[str] = Counter()  # hands killed or frozen while typing, by wake
        self.lost_rings: Counter[str] = Counter()
        self.down: list[tuple[float, float]] = []  # when nobody could have looked
        self.trace: list[str] | None = None
        self._holder: dict[str, str | None] = {}
        self._open: dict[Pair, list[str]] = {}
        self._need: dict[Pair, int] = {}
        self._offered: dict[Pair, int] = {}
        self._excused: dict[Pair, int] = {}
        self._seqs: dict[str, int] = dict.fromkeys(members, 0)
        self._evidence: dict[str, Evidence] = {}  # by attempt
        self.runs = RunWatch(self)
        self.holds = HoldWatch(self)
        store.watch = self.committed

    def require(self, holds: bool, rule: str, detail: object = "") -> None:  # noqa: FBT001  what it is about
        """Raise Broken unless it holds."""
        if not holds:
            raise Broken(rule, str(detail))

    def note(self, words: str) -> None:
        """A line of the trace, if one is kept."""
        if self.trace is not None:
            self.trace.append(f"{self.engine.us / 1e6:9.3f}  {words}")

    # --- after every commit ----------------------------------------------------------------------------------

    def committed(self, uow: UnitOfWork, changes: Mapping[Key, Change]) -> None:
        """Everything that a commit could have broken."""
        for said in uow.said:
            self._judge(said, uow)
        self._rung(uow.ring)
        pairs: dict[Pair, None] = {}
        for key, (old, new) in changes.items():
            match key[0]:
                case "wake":
                    self._wake_row(old.wake if old else None, new.wake)
                    pairs[new.wake.thread_id, new.wake.agent_id] = None
                case "message":
                    self._message(key[1], new)
                case "cursor":
                    self.require(new >= old, "the cursor only moves forward", key)
                    self.note(f"{key[2]} has read {key[1]} up to {new}")
                case "inflight":
                    self.require(len(new) <= 1, "one attempt in flight per session", f"{key[1]}: {new}")
                case _:
                    continue
        self.runs.committed(uow, changes)
        for key, (old, new) in changes.items():
            if key[0] == "thread":  # after the messages
                self._thread(old, new)
                pairs |= dict.fromkeys((key[1], name) for name in self.members[key[1]])
        for pair in pairs:
            self._covered(pair)

    def _rung(self, rings: list[tuple[str, str]]) -> None:
        for wake_id, host in rings:
            here = host == self.store.get("wake", wake_id).host
            self.require(here, "a ring goes to where its wake is", f"{wake_id}: {host}")

    def _judge(self, said: Said, uow: UnitOfWork) -> None:
        before, after, event = said.before, said.decision.state, said.event
        self.cells[before.state, type(event)] += 1
        if self.trace is not None:
            self.note(_told(said))
        cell = TRANSITIONS[before.state, type(event)]
        if isinstance(cell, Handled):
            self.require(
                after.state in cell.to, "a rule leads where the table says", (before.state, after.state)
            )
        locked_at = uow.locks["wake", before.thread_id, before.agent_id]
        self.require(
            isinstance(event, TIMELESS) or us_of(said.now) >= locked_at,
            "the clock is read after the lock",
            f"{before.wake_id}: decided for {seconds_of(said.now):.3f}, locked at {locked_at / 1e6:.3f}",
        )
        if before.state in WAKE_FINAL:
            self.require(after == before, "an ended wake stays as it ended", before.wake_id)
        self._growth(before, after)
        if isinstance(event, TargetRaised):
            raised = replace(before, target_seq=max(before.target_seq, event.target_seq))
            self.require(after == raised, "raising the target changes the target alone", before.wake_id)
        if isinstance(event, Due):
            self._due(said)
        self._hands(said)
        self._burnt(said)
        self._meant(said)
        self.holds.judge(said)
        if isinstance(event, CancelAsked) and said.hand == "operator":
            pair = (before.thread_id, before.agent_id)
            self._excused[pair] = max(self._excused.get(pair, 0), before.target_seq)
        for effect in said.decision.effects:
            if isinstance(effect, BeginAttempt):
                self._begun(before, effect, event)
        if after.state in WAKE_FINAL and before.state not in WAKE_FINAL:
            self._ended(said)

    def _growth(self, before: Wake, after: Wake) -> None:
        self.require(after.dies_at == before.dies_at, "death never moves", before.wake_id)
        self.require(after.due_at <= after.dies_at, "nothing is due after death", before.wake_id)
        for name in ("fence", "attempts", "target_seq", "offered_seq", "deferred_s"):
            grows = getattr(after, name) >= getattr(before, name)
            self.require(grows, f"{name} never goes down", before.wake_id)
        for rung in RUNGS:
            count = after.tried.count(rung)
            self.require(count >= before.tried.count(rung), "tries are never given back", before.wake_id)
            self.require(
                count <= self.policy.limits(rung).tries,
                "tries never exceed the ladder",
                f"{before.wake_id}: {rung}",
            )

    def _due(self, said: Said) -> None:
        before, after = said.before, said.decision.state
        self.require(self.engine.now >= before.due_at, "no timer fires early", before.wake_id)
        moved = after.state is not before.state or after.due_at > before.due_at
        moved = moved or any(isinstance(effect, MoveTo) for effect in said.decision.effects)
        self.require(moved, "a wake that is looked at when due moves on", f"{before.wake_id}: {before.state}")

    def _hands(self, said: Said) -> None:
        """One hand at a time: who claimed last, and nobody else, may touch and report."""
        wake_id, event = said.before.wake_id, said.event
        before, after = said.before.state, said.decision.state.state
        if isinstance(event, TouchAllowed | Postponed | HandedOver):
            holder = self._holder.get(wake_id)
            rule = "only the hand that holds the wake touches it and reports"
            self.require(holder == said.hand, rule, f"{wake_id}: {said.hand}, held by {holder}")
        if before is WakeState.PENDING and after is WakeState.DELIVERING:
            self._holder[wake_id] = said.hand
        elif after is not before and not (before is WakeState.DELIVERING and after is WakeState.TOUCHING):
            self._holder[wake_id] = None

    def _burnt(self, said: Said) -> None:
        event, before, after = said.event, said.before.tried, said.decision.state.tried
        burnt = sum(after.count(rung) - before.count(rung) for rung in RUNGS)
        handed = isinstance(event, HandedOver) and event.evidence in HANDED
        lost = isinstance(event, Due | RunOver) and said.before.state is WakeState.TOUCHING
        may = handed or lost or isinstance(event, Joined)
        rule = "waiting, deferral and what was not touched burn no try"
        self.require(burnt <= (1 if may else 0), rule, f"{said.before.wake_id}: {type(event).__name__}")

    def _meant(self, said: Said) -> None:
        """Evidence says of an attempt what it shows, and of no other."""
        before, after, event = said.before, said.decision.state, said.event
        if isinstance(event, Accepted | RunOver) and event.attempt_id != before.attempt_id:
            self.require(after == before, "what one attempt shows says nothing of another", before.wake_id)
        if isinstance(event, HandedOver) and event.evidence is Evidence.ABSENT:
            rule = "what was not found was offered to nobody"
            self.require(after.offered_seq == before.offered_seq, rule, before.wake_id)
        if isinstance(event, Joined):
            told = self._evidence.get(event.attempt_id) is not Evidence.ABSENT
            self.require(told, "only a line that was told tells of other wakes", before.wake_id)

    def _begun(self, wake: Wake, effect: BeginAttempt, event: object) -> None:
        facts = event.facts if isinstance(event, TouchAllowed) else None
        shut = facts is not None and facts.thread_status in SHUT and not facts.agent_is_operator
        self.require(not shut, "no wake is delivered in a blocked thread", wake.wake_id)
        if facts is not None:
            rule = "nothing is begun for what was read"
            self.require(
                self.store.get("cursor", wake.thread_id, wake.agent_id) < wake.target_seq, rule, wake.wake_id
            )
        self.counts[f"attempt {effect.rung}"] += 1

    def _ended(self, said: Said) -> None:
        wake = said.decision.state
        self.counts[wake.state.value] += 1
        pair = (wake.thread_id, wake.agent_id)
        if wake.state is WakeState.ACKED:
            cursor = self.store.get("cursor", *pair)
            read = wake.offered_seq > 0 and cursor >= wake.offered_seq
            self.require(read, "acked means read", f"{wake.wake_id}: {cursor} of {wake.offered_seq}")
        if wake.state is WakeState.FAILED:
            self._told(wake)
        self._in_time(wake.wake_id, seconds_of(wake.dies_at))

    def _told(self, wake: Wake) -> None:
        audiences = {OPERATORS: None}
        cursor = self.store.get("cursor", wake.thread_id, wake.agent_id)
        for seq in range(cursor + 1, wake.target_seq + 1):
            message: Message = self.store.get("message", wake.thread_id, seq)
            if message.kind is not MessageKind.SYSTEM and message.sender != wake.agent_id:
                audiences[message.sender] = None
        for audience in audiences:
            notice = self.store.get("notice", f"wake_failed:{wake.agent_id}", audience)
            told = notice is not None and wake.wake_id in notice.wake_ids
            self.require(told, "a failed wake is told of", f"{wake.wake_id}: {audience}")

    def _in_time(self, wake_id: str, dies_s: float) -> None:
        now_s = self.engine.us / 1e6
        allowed = dies_s + LATE_S_MAX + RELOST_S * self.lost_rings[wake_id]
        allowed += sum(max(0.0, min(end, now_s) - max(begin, dies_s - 1)) for begin, end in self.down)
        self.require(
            now_s <= allowed, "every wake ends by its death", f"{wake_id}: {now_s - dies_s:.1f} s late"
        )

    def _wake_row(self, old: Wake | None, new: Wake) -> None:
        pair = (new.thread_id, new.agent_id)
        open_now = self._open.setdefault(pair, [])
        if new.wake_id in open_now and new.state in WAKE_FINAL:
            open_now.remove(new.wake_id)
        if old is None:
            open_now.append(new.wake_id)
            self.counts["wakes"] += 1
            shut = self.store.get("thread", new.thread_id).thread.status in SHUT
            human = self.store.get("agent", new.agent_id).is_human
            self.require(human or not shut, "no wake is opened in a blocked thread", new.wake_id)
            self.note(
                f"{new.wake_id} opened for {new.agent_id} in {new.thread_id} up to {new.target_seq}, {new.reason}"
            )
        self.require(len(open_now) <= 1, "one open wake per thread and agent", f"{pair}: {open_now}")
        self._offered[pair] = max(self._offered.get(pair, 0), new.offered_seq)

    def _message(self, thread_id: str, message: Message) -> None:
        self._seqs[thread_id] += 1
        self.require(
            message.seq == self._seqs[thread_id], "the sequence has no gap", f"{thread_id}: {message.seq}"
        )
        if message.kind is MessageKind.SYSTEM:
            return
        self.counts["messages"] += 1
        self.note(f"{message.sender} posts {message.seq} to {thread_id}")
        for name in self.members[thread_id]:
            if name != message.sender and (not message.to or name in message.to):
                self._need[thread_id, name] = message.seq

    def _thread(self, old: ThreadRow | None, new: ThreadRow) -> None:
        thread = new.thread
        self.require(
            thread.last_seq == self._seqs[thread.thread_id],
            "the thread counts its messages",
            thread.thread_id,
        )
        if old is None:
            return
        if old.thread.status is not thread.status:
            self.counts[f"thread {thread.status}"] += 1
            self.note(f"{thread.thread_id} is {thread.status}")
        if thread.stalled and not old.thread.stalled:
            quiet = new.updated_at - old.thread.progress_at
            holds = old.thread.open_findings > 0 and quiet >= timedelta(seconds=self.policy.stall_after_s)
            self.require(holds, "only what stands still is called stalled", thread.thread_id)
            self.counts["stalls"] += 1

    def _covered(self, pair: Pair) -> None:
        """No lost message: read, to be read by an open wake, offered, or excused by an operator or the thread."""
        need = self._need.get(pair, 0)
        if self.store.get("cursor", *pair) >= need or self._offered.get(pair, 0) >= need:
            return
        wake_id = self.store.get("open", *pair)
        if wake_id and self.store.get("wake", wake_id).wake.target_seq >= need:
            return
        shut = self.store.get("thread", pair[0]).thread.status in SHUT
        excused = self._excused.get(pair, 0) >= need or (
            shut and not self.store.get("agent", pair[1]).is_human
        )
        self.require(excused, "no message is lost", f"{pair}: {need}, with no wake, unread and never offered")

    # --- at the terminals, and by the hands -------------------------------------------------------------------

    def absorbed(self, wake: Wake) -> None:
        """A ring found nothing to do."""
        self.counts["absorbed"] += 1
        row = self.store.get("wake", wake.wake_id)
        idle = row.wake.state in WAKE_FINAL or self.engine.now < row.wake.due_at
        self.require(idle, "a ring that finds the row locked waits for it", wake.wake_id)

    def typing(self, where: str, typed: int, line: Line) -> None:
        """Our text is about to be typed."""
        self.note(f"{line.key} is typed in {where}")
        self.holds.typing(where, line)
        self.require(line.may_type, "what was handed over is never typed again", line.key)
        allowed = self.faults[line.key]
        rule = "typed again at most once for each hand that was killed or frozen while typing"
        self.require(typed <= allowed, rule, f"{line.key} in {where}: {typed} times before, {allowed} faults")
        self.require(
            typed == 0 or line.look_first,
            "what may have been typed is looked for first",
            f"{line.key} in {where}",
        )
        self.counts["typed again" if typed else "typed"] += 1

    def entered(self, where: str, box: str, line: Line, *, dialog: bool) -> None:
        """Enter is about to be pressed."""
        rule = "Enter is pressed only into a box that holds our text and nothing else"
        self.require(box == line.key and not dialog, rule, f"{where}: {box!r}, dialog {dialog}")

    def handed(self, attempt_id: str, evidence: Evidence) -> None:
        """How a line went, or a start."""
        self._evidence[attempt_id] = evidence
        self.counts[f"evidence {evidence}"] += 1

    # --- when it is over ----------------------------------------------------------------------------------------

    def finish(self) -> None:
        """What must hold when everything is quiet."""
        self.runs.finish()
        for pair in self._need:
            self._covered(pair)
            wake_id = self.store.get("open", *pair)
            if wake_id:
                wake = self.store.get("wake", wake_id).wake
                self._in_time(wake_id, seconds_of(wake.dies_at))
                shut = self.store.get("thread", pair[0]).thread.status in SHUT
                human = self.store.get("agent", pair[1]).is_human
                self.require(not shut or human, "no wake is open in a blocked thread", wake_id)
        for key, row in self.store.rows.items():
            if key[0] == "attempt" and row.is_open:
                offers = self.store.get("offers", key[1])
                within = [
                    wake_id
                    for wake_id, offer in offers.items()
                    if self.store.get("wake", wake_id).wake.state not in WAKE_FINAL
                    and self.store.get("wake", wake_id).wake.attempt_id == key[1]
                    and offer.result is None
                ]
                self.require(bool(within), "an attempt ends with the last wake in it", key[1])


def _told(said: Said) -> str:
    before, after, event = said.before, said.decision.state, said.event
    words = f"{before.wake_id} {before.state} -> {after.state}  {type(event).__name__}"
    match event:
        case HandedOver():
            words += f" {event.evidence}"
        case Postponed():
            words += f" {event.reason}"
        case CursorMoved():
            words += f" {event.cursor}"
        case TargetRaised():
            words += f" {event.target_seq}"
        case _:
            pass
    due = f"due {seconds_of(after.due_at):.3f}" if after.state not in WAKE_FINAL else after.why or ""
    return f"{words} by {said.hand or '-'}: fence {after.fence}, {after.reason}, {due}"
