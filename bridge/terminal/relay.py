"""The relay: one select loop between the human, the agent, the host and the monitor.

Rules of this file:
- The human first: output goes to his terminal before the model sees it, and nothing is ever drawn there by
  us: what we have to tell him stands in the title.
- The human's bytes reach the agent unchanged and in order. They wait only while our text may be in the box.
- No verdict is acted on that is older than the last output.
- Nothing here blocks: the socket, the agent and the terminal each have a bounded queue, and whoever is full
  is not read for.
"""

import contextlib
import os
import select
import signal
import time
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from bridge.terminal import tty
from bridge.terminal.agent import Agent
from bridge.terminal.control import Control, Situation
from bridge.terminal.heartbeat import Heartbeat, Status
from bridge.terminal.held import HeldKeys
from bridge.terminal.inject import Injector
from bridge.terminal.keys import HELD, HUMAN, Kind, Token, Tokeniser
from bridge.terminal.link import Link
from bridge.terminal.monitor import LastWords
from bridge.terminal.notice import Notice
from bridge.terminal.screen import BRACKETED_PASTE, SYNCHRONIZED, Screen
from bridge.terminal.terms import Act, Step, View
from bridge.terminal.verdict import Judge, Seen, Verdict
from bridge.terminal.ways import Ways, no_ways

QUEUE_BYTES_MAX: Final = 262_144
READ_BYTES: Final = 65_536
WRITE_BYTES: Final = 4_096
TICK_INJECTING_S: Final = 0.02
TICK_UNSETTLED_S: Final = 0.05
DRAIN_S_MAX: Final = 0.3
HANGUP_S_MAX: Final = 4.0
_ASKS_CURSOR: Final = b"\x1b[6n"
_ENTER: Final = b"\r"


class Copy(Protocol):
    """Where a copy of the output goes."""

    def write(self, data: bytes, /) -> object:
        """Take some output."""


@dataclass(frozen=True, slots=True)
class Wires:
    """The descriptors and parts that the relay joins."""

    master: int
    events: int
    wakeup: int
    terminal: tty.UserTerminal | None
    screen: Screen
    judge: Judge
    injector: Injector
    link: Link
    control: Control
    heartbeat: Heartbeat
    last_words: LastWords
    copy: Copy | None
    notice: Notice = field(default_factory=Notice)
    ways: Ways = field(default_factory=no_ways)


class Relay:
    """Runs until the agent has ended; returns its exit code."""

    def __init__(self, wires: Wires, *, typed_before: bytes = b"", cursor_unanswered: bool = False) -> None:
        """Join the wires.

        `typed_before` is what the human typed before we listened; `cursor_unanswered`: the answer to our
        own question for the cursor may still come, and is nothing to the agent.
        """
        self._w = wires
        self._keys = Tokeniser()
        self._to_agent = bytearray()
        self._to_human = bytearray()
        self._held = HeldKeys()
        self._tail = b""
        self._dirty = True
        self._since = self._now = time.monotonic()
        self._human_at: float | None = None
        self._agent = Agent()
        self._draining = False
        self._leave_at: float | None = None
        self._stdin_open = wires.terminal is not None
        self._swallow = cursor_unanswered
        if wires.terminal is None:
            wires.screen.answer_with(self._to_agent.extend)
        if cursor_unanswered:
            self._keys.expect_cursor_reports(1)
        if typed_before:
            self._typed(typed_before)

    def run(self) -> int:
        """Relay until the agent is gone."""
        while self._agent.status is None:
            ready = self._wait()
            self._now = time.monotonic()
            if self._w.terminal is not None and self._w.terminal.stdin in ready:
                self._read_human(self._w.terminal.stdin)
            self._take(self._keys.flush(self._now))
            if self._w.master in ready:
                self._read_agent()
            if self._dirty and self._w.master not in ready:
                self._look()
            self._serve(ready)
            self._hear_program(ready)
            self._inject()
            self._let_go()
            self._flush()
            if self._w.events in ready:
                for _ in self._agent.hear(self._w.events):
                    self._suspend()
            if self._w.wakeup in ready:
                self._hear_signals()
            if self._leave_at is not None and self._now >= self._leave_at:
                self._agent.status = 128 + signal.SIGHUP
        self._drain()
        self._now = time.monotonic()
        if self._w.injector.active:
            self._look()
            last = replace(self._view(), fresh=True, stopped=True)
            self._w.control.stepped(self._w.injector.finish(last, self._now), self._now)
        self._w.control.exited(self._agent.status, self._now)
        return self._agent.status

    def _wait(self) -> set[int]:
        w = self._w
        reads = [w.events, w.wakeup, w.heartbeat.renewed, *w.ways.fds()]
        writes = [w.master] if self._to_agent else []
        if len(self._to_human) < QUEUE_BYTES_MAX:
            reads.append(w.master)
        if w.terminal is not None:
            if self._stdin_open and len(self._to_agent) < QUEUE_BYTES_MAX:
                reads.append(w.terminal.stdin)
            if self._to_human:
                writes.append(w.terminal.out)
        if (line := w.link.fileno()) is not None:
            reads.append(line)
            if w.link.wants_write:
                writes.append(line)
        readable, _, _ = select.select(reads, writes, [], self._timeout())
        return set(readable)

    def _timeout(self) -> float | None:
        now = time.monotonic()
        waits: list[float] = []
        if self._w.injector.active or self._held:
            waits.append(TICK_INJECTING_S)
        if self._dirty or self._keys.pending or now - self._since < 1:
            waits.append(TICK_UNSETTLED_S)
        if self._w.link.due_at is not None:
            waits.append(max(0.0, self._w.link.due_at - now))
        ways_at = self._w.ways.due_at(eager=self._w.injector.active)
        dues = (self._leave_at, self._w.notice.due_at, ways_at)
        waits += [max(0.0, at - now) for at in dues if at is not None]
        return min(waits, default=None)

    # The human

    def _read_human(self, stdin: int) -> None:
        try:
            data = os.read(stdin, READ_BYTES)
        except OSError:
            data = b""
        if data:
            self._typed(data)
        else:
            self._stdin_open = False

    def _typed(self, data: bytes) -> None:
        if self._dirty:
            self._look()
        self._take(self._keys.feed(data, self._now))

    def _take(self, tokens: list[Token]) -> None:
        for token in tokens:
            if token.kind is Kind.CURSOR_REPLY and self._swallow:
                self._swallow = False
                continue
            if token.kind in HUMAN:
                self._w.control.human(self._human_idle_s(), self._now)
                self._human_at = self._now
            if (self._w.injector.holding or self._held) and token.kind in HELD:
                self._held.keep(token)
            else:
                self._pass(token)

    def _pass(self, token: Token) -> None:
        self._to_agent += token.data
        if token.kind in (Kind.KEY, Kind.PASTE):
            canonical = tty.is_canonical(self._w.master)
            self._w.judge.sent(token.data, pasted=token.kind is Kind.PASTE, canonical=canonical)
            self._dirty = True

    def _human_idle_s(self) -> float | None:
        return None if self._human_at is None else self._now - self._human_at

    # The agent

    def _read_agent(self) -> bool:
        """Pass some output on; return whether there was any."""
        try:
            data = os.read(self._w.master, READ_BYTES)
        except OSError:
            data = b""
        if not data:
            return False
        seen = self._tail + data
        self._keys.expect_cursor_reports(seen.count(_ASKS_CURSOR))
        self._tail = seen[-len(_ASKS_CURSOR) + 1 :]
        if self._w.terminal is not None:
            self._to_human += data
            self._w.notice.saw(data)
            self._flush_human()
        if self._w.copy is not None:
            self._w.copy.write(data)
        self._w.screen.feed(data)
        self._dirty = True
        return True

    def _look(self) -> None:
        before = self._w.judge.verdict
        after = self._w.judge.look(self._w.screen.frame(), hidden=tty.is_hidden(self._w.master))
        if not _same(before, after):
            self._since = self._now
        self._dirty = False
        if not self._agent.stopped:
            self._w.last_words.set(self._w.screen.resets())

    def _verdict(self) -> Verdict:
        """What the screen shows; the program's own word counts besides."""
        seen, ours = self._w.judge.verdict, self._w.injector.holding
        return self._w.ways.over(seen, self._now - self._since, self._now, ours=ours)

    def _view(self) -> View:
        return View(
            verdict=self._verdict(),
            stable_s=self._now - self._since,
            fresh=not self._dirty and not self._w.screen.mode(SYNCHRONIZED) and not self._unread(),
            whole=not self._keys.pending and not self._to_agent and not self._held,
            human_idle_s=self._human_idle_s(),
            stopped=self._agent.stopped,
            bracketed=self._w.screen.mode(BRACKETED_PASTE),
            native=self._w.ways.can_queue,
            can_show=self._w.ways.can_show,
        )

    def _unread(self) -> bool:
        return bool(select.select([self._w.master], [], [], 0)[0])

    # The host

    def _serve(self, ready: set[int]) -> None:
        w = self._w
        if w.heartbeat.renewed in ready:
            w.heartbeat.was_renewed()
            w.link.send({"op": "token", "token": w.heartbeat.token}, self._now)
        if w.link.fileno() is None:
            w.control.lost()
            w.link.tick(self._now)
        if w.link.fileno() is None:
            return
        for message in w.link.receive(self._now):
            w.notice.heard(message, self._now)
            w.control.handle(message, Situation(self._view(), self._draining), self._now)
        if w.link.fileno() is None:
            w.control.lost()
        else:
            w.control.tell(self._view(), self._now)
            w.control.named(w.ways.native_id, self._now)

    # The program's own ways

    def _hear_program(self, ready: set[int]) -> None:
        w, injector = self._w, self._w.injector
        for text, by in w.ways.serve(ready, self._agent.pid, self._now, eager=injector.active):
            if (late := injector.taken(text, by)) is not None:
                w.control.accepted(late, self._now)
        if (answer := w.ways.queued(self._now)) is not None:
            injector.queued(answer, self._now)
        if w.ways.native_id is not None:
            w.heartbeat.named()
        w.heartbeat.set(Status.IDLE if self._verdict().seen is Seen.EMPTY else Status.ACTIVE)

    def _inject(self) -> None:
        injector = self._w.injector
        if not injector.active:
            return
        self._look()
        step = injector.step(self._view(), self._now)
        if step.act is Act.QUEUE:
            self._w.ways.give(step.text, self._now)
        elif data := self._keys_for(step):
            self._to_agent += data
            self._w.judge.sent(data)
            self._dirty = True
        self._w.control.stepped(step, self._now)

    def _let_go(self) -> None:
        if not self._w.injector.holding:
            for token in self._held.release(self._now):
                self._pass(token)

    def _keys_for(self, step: Step) -> bytes:
        if step.act is Act.ENTER:
            return _ENTER
        return tty.pasted(step.text, bracketed=self._w.screen.mode(BRACKETED_PASTE))

    # Queues

    def _flush(self) -> None:
        if self._to_agent:
            with contextlib.suppress(OSError):
                del self._to_agent[: os.write(self._w.master, self._to_agent[:WRITE_BYTES])]
        if self._w.terminal is not None:
            self._to_human += self._w.notice.words(self._now)
        self._flush_human()
        self._w.link.flush(self._now)

    def _flush_human(self) -> None:
        if self._w.terminal is not None and self._to_human:
            try:
                del self._to_human[: self._w.terminal.write(bytes(self._to_human))]
            except OSError:
                self._to_human.clear()

    def _drain(self) -> None:
        """Show all that the agent has said: its last bytes leave the alternate screen."""
        until = time.monotonic() + DRAIN_S_MAX
        while time.monotonic() < until and self._unread() and self._read_agent():
            self._hand_out()
        self._to_human += self._w.notice.over()
        self._hand_out()
        if self._dirty:
            self._look()

    def _hand_out(self) -> None:
        if self._w.terminal is not None:
            with contextlib.suppress(OSError):
                self._w.terminal.write_now(bytes(self._to_human))
            self._to_human.clear()

    # The monitor and the signals

    def _hear_signals(self) -> None:
        for number in os.read(self._w.wakeup, 4096):
            if number == signal.SIGWINCH:
                self.resize()
            elif number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
                self._draining = True
                self._agent.forward(number)
                if number == signal.SIGHUP and self._w.terminal is not None:
                    self._leave_at = self._now + HANGUP_S_MAX

    def resize(self) -> None:
        """Take the user's window size: the model first, for the agent draws as soon as it knows."""
        if self._w.terminal is not None:
            with contextlib.suppress(OSError):
                cols, rows = self._w.terminal.size()
                self._w.screen.resize(cols, rows)
                tty.set_window_size(self._w.master, cols, rows)
                self._dirty = True

    def _suspend(self) -> None:
        """Stop as the agent has stopped, and go on when the shell says so."""
        terminal = self._w.terminal
        if terminal is None:
            return
        self._drain()
        self._w.last_words.set(None)
        terminal.give_back(self._w.screen.resets())
        os.kill(0, signal.SIGTSTP)
        terminal.raw()
        terminal.write_now(self._w.screen.restores())
        self._w.last_words.set(self._w.screen.resets())
        self.resize()
        self._agent.forward(signal.SIGCONT)
        if self._w.screen.alternate:
            self._agent.forward(signal.SIGWINCH)


def _same(one: Verdict, other: Verdict) -> bool:
    return (one.seen, one.text) == (other.seen, other.text)
