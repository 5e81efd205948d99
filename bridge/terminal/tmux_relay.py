"""Serving a pane: look, judge, and hand a line over with the same care as at a terminal of our own.

Rules of this file:
- The pane belongs to its human. We look; we type only what the injector decides, and let go at any time.
- What is acted on was seen twice, 80 ms apart and the same, with nobody's key in between; and once more by the
  server itself in the moment it is done.
- A shell where the agent was is nobody: the session is offline then, and is back when the agent is.
- A tmux that does not answer is waited for. A pane that is gone is the end.
"""

import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from bridge.terminal.control import Control, Situation
from bridge.terminal.heartbeat import Heartbeat, Status
from bridge.terminal.inject import Injector
from bridge.terminal.link import Link, Message
from bridge.terminal.screen import Screen
from bridge.terminal.terms import Act, Step, View
from bridge.terminal.tmux_hold import Hold, pause
from bridge.terminal.tmux_pane import Look, Pane, PaneGone, ServerClock, TmuxError, TmuxSilent
from bridge.terminal.tmux_process import Tenant, modes_of
from bridge.terminal.tmux_status import StatusLine
from bridge.terminal.verdict import AT_PROMPT, Frame, Judge, Seen, Verdict
from bridge.terminal.ways import Ways

LOOK_S: Final = 1.0
LOOK_UNSETTLED_S: Final = 0.2
LOOK_INJECTING_S: Final = 0.06
FRESH_S: Final = 0.08
SETTLE_S: Final = 0.09
SETTLED_LOOKS: Final = 3


@dataclass(frozen=True, slots=True)
class Seat:
    """What the session has while the agent is there: the line to the host, and the heartbeat."""

    link: Link
    control: Control
    heartbeat: Heartbeat

    def close(self) -> None:
        """Hang up and say goodbye."""
        self.link.close()
        self.heartbeat.stop()


@dataclass(frozen=True, slots=True)
class Parts:
    """What the relay joins. `sit` opens a seat; `say` tells the human who started us."""

    pane: Pane
    hold: Hold
    status: StatusLine
    tenant: Tenant
    judge: Judge
    injector: Injector
    wakeup: int
    ways: Ways
    sit: Callable[[], Seat]
    say: Callable[[str], None]


class PaneRelay:
    """Serves one pane until it is gone or we are told to let go."""

    def __init__(self, parts: Parts, seat: Seat) -> None:
        """Begin with a seat; it is left and taken again as the agent goes and comes."""
        self._p = parts
        self._seat: Seat | None = seat
        self._now = self._since = self._same_since = time.monotonic()
        self._look_at = 0.0
        self._seen: Look | None = None
        self._frame: Frame | None = None
        self._pid: int | None = None
        self._agent = 0
        self._clock = ServerClock()
        self._typed_at: int | None = None
        self._in_front = False
        self._instead: str | None = None
        self._leaving = False
        self._said: set[str] = set()

    def run(self) -> str:
        """Serve; return why it ended."""
        try:
            while not self._leaving:
                ready = self._wait()
                self._now = time.monotonic()
                if self._p.wakeup in ready:
                    os.read(self._p.wakeup, 4096)
                    self._leaving = True
                elif self._now >= self._look_at:
                    self._see()
                self._serve(ready)
                self._hear_program(ready)
                self._inject()
                self._leave()
            self._finish()
        except PaneGone as gone:
            self._finish()
            return str(gone)
        finally:
            self._p.hold.forget()
            if self._seat is not None:
                self._seat.close()
        return "let go; the pane goes on"

    def _wait(self) -> set[int]:
        reads = [self._p.wakeup, *self._p.ways.fds()]
        until = [self._look_at]
        if (ways_at := self._p.ways.due_at(eager=self._p.injector.active)) is not None:
            until.append(ways_at)
        writes = []
        if self._seat is not None:
            reads.append(self._seat.heartbeat.renewed)
            if (line := self._seat.link.fileno()) is not None:
                reads.append(line)
                writes += [line] if self._seat.link.wants_write else []
            if self._seat.link.due_at is not None:
                until.append(self._seat.link.due_at)
        if self._p.injector.active:
            until.append(self._now + LOOK_INJECTING_S)
        readable, _, _ = select.select(reads, writes, [], max(0.0, min(until) - time.monotonic()))
        return set(readable)

    # What is seen

    def _see(self) -> None:
        """Look at the pane and judge it. Raises PaneGone; a tmux that is silent is asked again later."""
        asked_at = time.monotonic()
        try:
            seen = self._p.pane.look()
        except PaneGone:
            raise
        except TmuxError as error:
            self._once(str(error))
            self._now = self._same_since = time.monotonic()
            self._look_at = self._now + LOOK_S
            return
        self._now = time.monotonic()
        self._clock.heard(seen.now, asked_at, self._now)
        self._check(seen)
        self._hear_human(seen)
        self._judge(seen)
        self._seen = seen
        self._p.status.tick(self._now)
        unsettled = self._now - self._since < LOOK_S
        self._look_at = self._now + (LOOK_UNSETTLED_S if unsettled else LOOK_S)

    def _check(self, seen: Look) -> None:
        if self._pid not in (None, seen.pane_pid):
            raise PaneGone(f"the pane {self._p.pane.id} was given to another process")
        if seen.dead:
            raise PaneGone(f"the program in {self._p.pane.id} has ended")
        self._pid = seen.pane_pid
        present = self._p.tenant.look(seen.pane_pid)
        self._in_front, self._agent = present.in_front, present.pid
        if present.here and self._seat is None:
            self._return()
        self._instead = None if present.here else present.instead or "nobody"

    def _leave(self) -> None:
        """Give up the seat, when the agent has left: after everybody who asked has been answered."""
        if self._instead is None or self._seat is None:
            return
        self._finish()
        if not self._p.tenant.may_return:
            raise PaneGone(f"the program in {self._p.pane.id} has ended")
        self._p.say(
            f"the agent has left {self._p.pane.id} ({self._instead} is there): offline until it is back"
        )
        self._seat.close()
        self._seat = None

    def _return(self) -> None:
        try:
            self._seat = self._p.sit()
        except Exception as error:  # noqa: BLE001  the bridge may be away: the next look tries again
            self._once(f"{type(error).__name__}: {error}")
        else:
            self._p.say(f"the agent is in {self._p.pane.id} again")

    def _hear_human(self, seen: Look) -> None:
        typed_at = max((viewer.activity for viewer in seen.viewers), default=None)
        if typed_at is not None and typed_at != self._typed_at and self._seen is not None:
            if self._seat is not None:
                self._seat.control.human(self._human_idle_s(), self._now)
            # Which keys, nobody knows. At a prompt they are a draft; elsewhere they have been taken.
            at_prompt = self._p.judge.verdict.seen in AT_PROMPT
            self._p.judge.sent(b"x" if at_prompt else b"x\r", canonical=modes_of(seen.tty).canonical)
            self._same_since = self._now
        self._typed_at = typed_at

    def _judge(self, seen: Look) -> None:
        before, last = self._p.judge.verdict, self._seen
        if self._frame is None or last is None or _picture(last) != _picture(seen):
            self._frame = frame_of(seen)
        after = self._p.judge.look(self._frame, hidden=modes_of(seen.tty).hidden)
        if (before.seen, before.text) != (after.seen, after.text):
            self._since = self._now
        if last is None or before != after or last.cursor != seen.cursor or last.size != seen.size:
            self._same_since = self._now

    def _verdict(self) -> Verdict:
        """What the screen shows; the program's own word counts besides."""
        seen, ours = self._p.judge.verdict, self._p.injector.holding
        return self._p.ways.over(seen, self._now - self._since, self._now, ours=ours)

    def _human_idle_s(self) -> float | None:
        return None if self._typed_at is None else self._clock.passed_s(self._typed_at, self._now)

    def _view(self) -> View:
        seen = self._seen
        return View(
            verdict=self._verdict(),
            stable_s=self._now - self._since,
            fresh=self._now - self._same_since >= FRESH_S,
            whole=seen is not None and not seen.in_mode,
            human_idle_s=self._human_idle_s(),
            stopped=seen is None or seen.input_off or not self._in_front,
            # Where tmux cannot say, it still brackets only what the program asked to be bracketed.
            bracketed=seen is not None and seen.bracketed is not False,
            native=self._p.ways.can_queue,
            can_show=self._p.ways.can_show,
        )

    # The host

    def _serve(self, ready: set[int]) -> None:
        seat = self._seat
        if seat is None:
            return
        if seat.heartbeat.renewed in ready:
            seat.heartbeat.was_renewed()
            seat.link.send({"op": "token", "token": seat.heartbeat.token}, self._now)
        if seat.link.fileno() is None:
            seat.control.lost()
            seat.link.tick(self._now)
        if seat.link.fileno() is None:
            return
        messages = seat.link.receive(self._now)
        try:
            if messages:
                self._see()
        except PaneGone:
            self._seen = None
            self._take(messages, seat)
            raise
        self._take(messages, seat)
        if seat.link.fileno() is None:
            seat.control.lost()
        else:
            seat.control.tell(self._view(), self._now)
            seat.control.named(self._p.ways.native_id, self._now)
        seat.link.flush(self._now)

    def _take(self, messages: list[Message], seat: Seat) -> None:
        for message in messages:
            self._p.status.heard(message, self._now)
            seat.control.handle(message, Situation(self._view(), draining=self._leaving), self._now)

    # The injection

    def _hear_program(self, ready: set[int]) -> None:
        injector, ways, seat = self._p.injector, self._p.ways, self._seat
        for text, by in ways.serve(ready, self._agent, self._now, eager=injector.active):
            if (late := injector.taken(text, by)) is not None and seat is not None:
                seat.control.accepted(late, self._now)
        if (answer := ways.queued(self._now)) is not None:
            injector.queued(answer, self._now)
        if seat is not None:
            if ways.native_id is not None:
                seat.heartbeat.named()
            seat.heartbeat.set(Status.IDLE if self._verdict().seen is Seen.EMPTY else Status.ACTIVE)

    def _inject(self) -> None:
        injector, seat = self._p.injector, self._seat
        if not injector.active or seat is None:
            return
        self._see()
        step = injector.step(self._view(), self._now)
        if step.act is Act.QUEUE:
            self._p.ways.give(step.text, self._now)
        elif step.act is Act.PASTE and not self._paste(step.text):
            injector.untyped()
        elif step.act is Act.ENTER:
            self._enter()
        seat.control.stepped(step, self._now)
        if injector.holding:
            self._p.hold.renew()
        else:
            self._p.hold.release()

    def _paste(self, text: str) -> bool:
        """Hold the keys, see that the box is still empty, paste. Returns whether the text may be there."""
        if not self._hold_and_settle(self._p.judge.verdict) or self._seen is None:
            return False
        try:
            done = self._p.pane.paste(text, self._seen)
        except TmuxSilent as error:  # done or not: the picture will tell
            self._once(str(error))
            done = True
        if done:
            self._p.judge.sent(text.encode())
        return done

    def _enter(self) -> None:
        if not self._p.hold.active and not self._hold_and_settle(self._p.judge.verdict):
            return  # it is tried once more, or told as stranded
        if self._seen is None:
            return
        try:
            if self._p.pane.enter(self._seen):
                self._p.judge.sent(b"\r")
        except TmuxSilent as error:
            self._once(str(error))

    def _hold_and_settle(self, expected: Verdict) -> bool:
        """Take the hold; whether the box is the same afterwards, and nobody's key came in between."""
        before = self._seen
        if before is None:
            return False
        self._p.hold.take(before)
        if self._p.hold.failure is not None:
            self._once(f"what is typed during a wake cannot be held back: {self._p.hold.failure}")
        for _ in range(SETTLED_LOOKS):
            pause(SETTLE_S)
            self._see()
            if self._now - self._same_since >= FRESH_S:
                break
        seen, view = self._seen, self._view()
        same = seen is not None and seen.viewers == before.viewers and view.whole and not view.stopped
        if same and view.fresh and (view.verdict.seen, view.verdict.text) == (expected.seen, expected.text):
            return True
        self._p.hold.release()
        return False

    def _finish(self) -> None:
        self._p.hold.release()
        if self._p.injector.active and self._seat is not None:
            step: Step = self._p.injector.finish(replace(self._view(), stopped=True), self._now)
            self._seat.control.stepped(step, self._now)
            self._seat.link.flush(self._now)

    def _once(self, said: str) -> None:
        if said not in self._said:
            self._said.add(said)
            self._p.say(said)


def _picture(seen: Look) -> tuple[object, ...]:
    return seen.rows, seen.cursor, seen.size, seen.alternate, seen.cursor_visible


def frame_of(seen: Look) -> Frame:
    """The frame that a look shows: its rows through the same emulator as a terminal's output."""
    cols, rows = seen.size
    screen = _drawn(seen, "\r\n".join(seen.rows))
    if screen.frame().cursor[1] != rows - 1:
        # The emulator counts the width of some letter otherwise: row by row then, without joined lines.
        screen = _drawn(seen, "".join(f"\x1b[{y + 1};1H{row}" for y, row in enumerate(seen.rows[:rows])))
    x, y = seen.cursor
    screen.place(min(x, cols - 1), y, visible=seen.cursor_visible)
    return screen.frame()


def _drawn(seen: Look, text: str) -> Screen:
    screen = Screen(*seen.size)
    alternate = "\x1b[?1049h" if seen.alternate else ""
    screen.feed(f"\x1b)0{alternate}\x1b[H{text}".encode())
    return screen
