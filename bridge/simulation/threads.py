"""The shell's half that moves threads, cursors, sessions and agents: the fast post and the slow one, status, ticks."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bridge.core import thread as core
from bridge.core.agent import offer_seat, take_seat
from bridge.core.effects import CancelWakes, Effect, Notify, OpenUnread, OpenWakes, Say
from bridge.core.errors import Conflict, CursorOutOfRange
from bridge.core.session import Attached, Heartbeat
from bridge.core.session import decide as decide_session
from bridge.core.states import MessageKind, Role, SessionStatus, ThreadStatus, WaitReason
from bridge.core.thread import Posted, StallChecked, StatusAsked, Thread
from bridge.core.wake_events import CancelAsked, CursorMoved
from bridge.simulation.engine import Steps
from bridge.simulation.records import OPERATORS
from bridge.simulation.run_rows import some_session
from bridge.simulation.run_shell import RunShell
from bridge.simulation.store import Message, Notice, ThreadRow, UnitOfWork

SYSTEM = "wakebridge"


class Shell(RunShell):
    """All the commands."""

    def lock_thread(self, uow: UnitOfWork, thread_id: str) -> Steps[ThreadRow]:
        """The thread under its lock."""
        yield from uow.lock("thread", thread_id)
        row: ThreadRow = uow.get("thread", thread_id)
        return row

    # --- posting -------------------------------------------------------------------------------------------

    def post(
        self,
        thread_id: str,
        sender: str,
        *,
        event_type: str | None = None,
        to: tuple[str, ...] = (),
        read_to: int | None = None,
        urgent: bool = False,
        delay_s: float = 0.0,
    ) -> Steps[None]:
        """Store a message with its wakes: in one statement where nothing is to be judged, else by the slow way."""
        uow = self.store.begin(sender)
        try:
            row = yield from self.lock_thread(uow, thread_id)
            now = uow.now(row.updated_at)
            human = uow.get("agent", sender).is_human
            kind = MessageKind.EVENT if event_type else MessageKind.CHAT
            finding = core.FindingFacts(row.thread.open_findings, None)
            posted = Posted(sender, kind, human, event_type, finding=finding)
            recipients = [
                name for name in self.members[thread_id] if name != sender and (not to or name in to)
            ]
            message = Message(row.thread.last_seq + 1, sender, kind, to)
            yield from self.work()
            fast = self.fast(row.thread, posted, now) if event_type is None and read_to is None else None
            if fast is not None:
                uow.put("thread", thread_id, value=ThreadRow(fast, now))
                yield from self._store_message(uow, thread_id, message, recipients, now, urgent, delay_s)
            else:
                yield from self._slow(uow, row, posted, message, recipients, read_to, now, urgent, delay_s)
            uow.commit()
        finally:
            uow.end()
        yield from self.finish(uow)
        if any(self.store.get("open", thread, sender) for thread in self.threads_of[sender]):
            yield from self.rouse(sender, alive=True)

    def fast(self, thread: Thread, posted: Posted, now: datetime) -> Thread | None:
        """What the one statement makes of the thread; None where its guard gives no row."""
        if thread.status is not ThreadStatus.ACTIVE:
            return None
        turns = 0 if posted.by_human else thread.turns + (1 if core.is_turn(thread, posted.sender) else 0)
        if turns >= self.policy.turns_limit(thread.participants):
            return None
        return replace(
            thread,
            last_seq=thread.last_seq + 1,
            last_sender=posted.sender,
            turns=turns,
            progress_at=now if posted.by_human else thread.progress_at,
            stalled=thread.stalled and not posted.by_human,
        )

    def _slow(
        self,
        uow: UnitOfWork,
        row: ThreadRow,
        posted: Posted,
        message: Message,
        recipients: list[str],
        read_to: int | None,
        now: datetime,
        urgent: bool,  # noqa: FBT001  one of a message's own fields
        delay_s: float,
    ) -> Steps[None]:
        thread_id = row.thread.thread_id
        decision = core.decide(row.thread, posted, self.policy, now)
        if read_to is not None:
            yield from self._read(uow, thread_id, posted.sender, read_to)
        uow.put("thread", thread_id, value=ThreadRow(decision.state, now))
        opens = [effect for effect in decision.effects if isinstance(effect, OpenWakes)]
        for effect in decision.effects:
            yield from self._carry_out_thread(uow, decision.state, effect, now)
        if decision.state.status is ThreadStatus.BLOCKED:
            recipients = [name for name in recipients if uow.get("agent", name).is_human]
        if not opens:
            recipients = []
        slowed_s = opens[0].delay_s if opens else 0.0
        yield from self._store_message(uow, thread_id, message, recipients, now, urgent, delay_s, slowed_s)

    def _store_message(
        self,
        uow: UnitOfWork,
        thread_id: str,
        message: Message,
        recipients: list[str],
        now: datetime,
        urgent: bool,  # noqa: FBT001  one of a message's own fields
        delay_s: float,
        slowed_s: float = 0.0,
    ) -> Steps[None]:
        uow.put("message", thread_id, message.seq, value=message)
        yield from self.open_wakes(uow, thread_id, message.seq, recipients, now, urgent, delay_s, slowed_s)

    def open_wakes(
        self,
        uow: UnitOfWork,
        thread_id: str,
        seq: int,
        recipients: list[str],
        now: datetime,
        urgent: bool,  # noqa: FBT001  one of a message's own fields
        delay_s: float,
        slowed_s: float,
    ) -> Steps[None]:
        """In the message's own transaction: a wake for each recipient, or a higher target."""
        for name in recipients:
            agent = uow.get("agent", name)
            if slowed_s:
                reason = WaitReason.SLOWED
            elif agent.probe_at is not None:
                reason = WaitReason.UNREACHABLE
            elif agent.listening_until is not None and agent.listening_until > now and not urgent:
                reason = WaitReason.LISTENING
            else:
                reason = WaitReason.FIRST
            own_s = 0.0 if slowed_s else delay_s
            yield from self.insert_wake(uow, thread_id, name, seq, now, reason, own_s, slowed_s)

    # --- status --------------------------------------------------------------------------------------------

    def set_status(self, thread_id: str, status: ThreadStatus) -> Steps[None]:
        """An operator sets the status."""
        uow = self.store.begin("operator")
        try:
            row = yield from self.lock_thread(uow, thread_id)
            now = uow.now(row.updated_at)
            asked = StatusAsked(status, "operator", Role.OPERATOR, "so")
            decision = core.decide(row.thread, asked, self.policy, now)
            yield from self.work()
            uow.put("thread", thread_id, value=ThreadRow(decision.state, now))
            for effect in decision.effects:
                yield from self._carry_out_thread(uow, decision.state, effect, now)
            uow.commit()
        finally:
            uow.end()
        yield from self.finish(uow)

    def _carry_out_thread(
        self, uow: UnitOfWork, thread: Thread, effect: Effect, now: datetime
    ) -> Steps[None]:
        match effect:
            case CancelWakes():
                pairs = [
                    (thread.thread_id, name)
                    for name in self.members[thread.thread_id]
                    if not uow.get("agent", name).is_human
                ]
                rows = yield from self.lock_picked(uow, pairs)
                for row in rows:
                    yield from self.record(uow, row, CancelAsked(effect.why), max(now, row.updated_at))
            case OpenUnread():
                yield from self.open_unread(uow, thread.thread_id, now)
            case Say():
                current: ThreadRow = uow.get("thread", thread.thread_id)
                seq = current.thread.last_seq + 1
                said = Message(seq, SYSTEM, MessageKind.SYSTEM, ())
                uow.put(
                    "thread", thread.thread_id, value=ThreadRow(replace(current.thread, last_seq=seq), now)
                )
                yield from self._store_message(uow, thread.thread_id, said, [], now, urgent=False, delay_s=0)
            case Notify():
                uow.put("notice", effect.cause, OPERATORS, value=Notice(()))
            case _:
                return

    def open_unread(self, uow: UnitOfWork, thread_id: str, now: datetime) -> Steps[None]:
        """A wake for each participant with something unread that is for them."""
        last_seq = uow.get("thread", thread_id).thread.last_seq
        for name in self.members[thread_id]:
            unread = any(
                message.sender != name
                and message.kind is not MessageKind.SYSTEM
                and (not message.to or name in message.to)
                for seq in range(uow.get("cursor", thread_id, name) + 1, last_seq + 1)
                if (message := uow.get("message", thread_id, seq))
            )
            if unread:
                yield from self.insert_wake(uow, thread_id, name, last_seq, now, WaitReason.FIRST)

    def trigger(self, thread_id: str, agent_id: str) -> Steps[None]:
        """A manual wake up to the last message."""
        uow = self.store.begin("operator")
        try:
            row = yield from self.lock_thread(uow, thread_id)
            human = uow.get("agent", agent_id).is_human
            refused = row.thread.status is ThreadStatus.CLOSED or (
                row.thread.status is ThreadStatus.BLOCKED and not human
            )
            if refused or uow.get("cursor", thread_id, agent_id) >= row.thread.last_seq:
                return
            now = uow.now(row.updated_at)
            yield from self.insert_wake(
                uow, thread_id, agent_id, max(1, row.thread.last_seq), now, WaitReason.FIRST
            )
            uow.commit()
        finally:
            uow.end()
        yield from self.finish(uow)

    # --- cursors -------------------------------------------------------------------------------------------

    def move_cursor(self, thread_id: str, agent_id: str, seq: int) -> Steps[None]:
        """The agent has read up to `seq`. Raises CursorOutOfRange."""
        uow = self.store.begin(agent_id)
        try:
            if seq > uow.get("thread", thread_id).thread.last_seq:
                raise CursorOutOfRange
            yield from self._read(uow, thread_id, agent_id, seq)
            yield from self.work()
            uow.commit()
        finally:
            uow.end()
        yield from self.finish(uow)

    def _read(self, uow: UnitOfWork, thread_id: str, agent_id: str, seq: int) -> Steps[None]:
        yield from uow.lock("cursor", thread_id, agent_id)
        if seq <= uow.get("cursor", thread_id, agent_id):
            return
        uow.put("cursor", thread_id, agent_id, value=seq)
        for row in (yield from self.lock_picked(uow, [(thread_id, agent_id)])):
            now = self.clock(uow, row)
            yield from self.record(uow, row, CursorMoved(seq), now)

    # --- sessions ------------------------------------------------------------------------------------------

    def heartbeat(
        self, agent_id: str, session_id: str, status: SessionStatus, runtime: str = "pty"
    ) -> Steps[None]:
        """The agent lives, and says how it is; its session takes a seat that no living one holds."""
        uow = self.store.begin(f"beat/{runtime}")
        try:
            if status is not SessionStatus.OFFLINE:
                yield from self.offer_seat(uow, agent_id, session_id)
            yield from uow.lock("session", session_id)
            old = uow.get("session", session_id) or some_session(session_id, agent_id)
            after = decide_session(old, Heartbeat(runtime, resumable=True, status=status), uow.now())
            uow.put("session", session_id, value=after)
            uow.commit()
        finally:
            uow.end()
        if status is not SessionStatus.OFFLINE:
            yield from self.rouse(agent_id, alive=True)

    def offer_seat(self, uow: UnitOfWork, agent_id: str, session_id: str) -> Steps[None]:
        """Looked at under the agent's lock."""
        if uow.get("agent", agent_id).seat_session_id == session_id:
            return
        yield from self.lock_agent(uow, agent_id)
        held = self.seat_held(uow, agent_id, session_id, uow.now())
        yield from self.change_agent(uow, agent_id, lambda agent: offer_seat(agent, session_id, held=held))

    def attach(self, agent_id: str, session_id: str, host: str) -> Steps[int]:
        """A runtime holds the session from now on, and the session takes the seat; a run in it is to end."""
        uow = self.store.begin(f"{host}/attach")
        try:
            yield from self.change_agent(uow, agent_id, lambda agent: take_seat(agent, session_id, host))
            yield from uow.lock("session", session_id)
            now = uow.now()
            old = uow.get("session", session_id) or some_session(session_id, agent_id, resumable=True)
            after = decide_session(old, Attached(host, 1, "pty"), now)
            uow.put("session", session_id, value=after)
            yield from self.end_run_in(uow, session_id, "a terminal holds its session now")
            yield from self.work()
            uow.commit()
        finally:
            uow.end()
        yield from self.rouse(agent_id, alive=True)
        return after.term

    # --- the tick ------------------------------------------------------------------------------------------

    def find_stalls(self) -> Steps[None]:
        """Threads with open findings and no progress: looked for without locks, judged under each one's."""
        before = self.engine.now - timedelta(seconds=self.policy.stall_after_s)
        found = [
            thread_id
            for thread_id in self.members
            if (thread := self.store.get("thread", thread_id).thread).open_findings
            and not thread.stalled
            and thread.progress_at <= before
        ]
        for thread_id in found:
            yield self.rng.random() * 0.2
            yield from self.escalate(thread_id)

    def escalate(self, thread_id: str) -> Steps[None]:
        """Judge it under its lock."""
        uow = self.store.begin("tick")
        try:
            row = yield from self.lock_thread(uow, thread_id)
            now = uow.now(row.updated_at)
            decision = core.decide(row.thread, StallChecked(), self.policy, now)
            if decision.state != row.thread:
                uow.put("thread", thread_id, value=ThreadRow(decision.state, now))
                for effect in decision.effects:
                    yield from self._carry_out_thread(uow, decision.state, effect, now)
                uow.commit()
        except Conflict:
            return
        finally:
            uow.end()
