"""The store: rows, locks that are waited for, and transactions that are there as a whole or not at all.

It repeats what the shell relies on in Postgres: others see a row only after the commit; a locked row is waited for,
at most a second; a batch may skip locked rows; ids that a statement picked are picked before it waits. The lock of an
open wake is that of its pair (thread, agent), as the partial unique index makes it. It restarts, and who is cut off
from it reaches nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from bridge.core.errors import Conflict, Unavailable
from bridge.core.run import Run
from bridge.core.states import MessageKind, Rung, RunState
from bridge.core.thread import Thread
from bridge.core.wake import Decision, Event
from bridge.core.wake_events import Wake
from bridge.simulation.engine import Engine, Park, Steps

Key = tuple[Any, ...]
LOCK_TIMEOUT_S = 1.0


class Duplicate(Exception):
    """A unique index refuses the row."""


class WakeRow(NamedTuple):
    """A wake as stored."""

    wake: Wake
    version: int
    updated_at: datetime
    host: str


class ThreadRow(NamedTuple):
    """A thread as stored."""

    thread: Thread
    updated_at: datetime


class HostRow(NamedTuple):
    """A host as stored: when it was seen, by which worker's hand, and whether it drains."""

    seen_at: datetime
    holder: str
    draining: bool = False


class Message(NamedTuple):
    """A message; `to` empty: everybody."""

    seq: int
    sender: str
    kind: MessageKind
    to: tuple[str, ...]


class Attempt(NamedTuple):
    """One try in one session."""

    wake_id: str
    agent_id: str
    session_id: str
    rung: Rung
    is_open: bool


class Offer(NamedTuple):
    """That an attempt's line tells of a wake."""

    offered_seq: int
    handed: bool = False
    result: str | None = None  # how the wake left the attempt


class Notice(NamedTuple):
    """Something that somebody is told; one for each cause, however many wakes it is about."""

    wake_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """One decision about a wake, with what it was decided on: what the checkers read."""

    before: Wake
    event: Event
    decision: Decision
    now: datetime
    hand: str


Change = tuple[Any, Any]


class Store:
    """Committed rows, and who holds which lock."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.rows: dict[Key, Any] = {}
        self.pairs: list[tuple[str, str]] = []  # thread and agent, of all participants
        self.runs_open: dict[str, None] = {}
        self.runs_in: dict[str, list[str]] = {}  # every run, by its session
        self.unit: type[UnitOfWork] = UnitOfWork
        self.watch: Callable[[UnitOfWork, Mapping[Key, Change]], None] = lambda _uow, _changes: None
        self.is_up, self.starts = True, 0
        self.cut_off: set[str] = set()  # hosts that do not reach it
        self._keys: list[tuple[Key, tuple[str, str]]] = []
        self._held: dict[Key, UnitOfWork] = {}
        self._waiting: dict[Key, deque[tuple[UnitOfWork, Park]]] = {}

    def get(self, *key: Any) -> Any:  # noqa: ANN401  a row
        """The committed row, or None."""
        return self.rows.get(key)

    def open_wakes(self) -> list[tuple[tuple[str, str], str]]:
        """Pair and id of every open wake."""
        rows = self.rows
        return [(pair, wake_id) for key, pair in self._open_keys() if (wake_id := rows.get(key))]

    def any_open(self) -> bool:
        """Whether any wake or run is open."""
        return bool(self.runs_open or self.open_wakes())

    def _open_keys(self) -> list[tuple[Key, tuple[str, str]]]:
        if len(self._keys) != len(self.pairs):
            self._keys = [(("open", *pair), pair) for pair in self.pairs]
        return self._keys

    def is_locked(self, *key: Any) -> bool:  # noqa: ANN401  a key
        """Whether a transaction holds it."""
        return key in self._held

    def begin(self, hand: str = "") -> UnitOfWork:
        """A transaction. Raises Unavailable."""
        uow = self.unit(self, hand)
        uow.reach()
        return uow

    def stop(self) -> None:
        """Killed: what was not committed is gone."""
        self.is_up = False
        self.starts += 1

    def take(self, key: Key, uow: UnitOfWork) -> bool:
        """The lock, if it is free."""
        if key in self._held:
            return False
        self._held[key] = uow
        return True

    def queue(self, key: Key, uow: UnitOfWork) -> Park:
        """Wait for a lock."""
        park = Park(LOCK_TIMEOUT_S)
        self._waiting.setdefault(key, deque()).append((uow, park))
        return park

    def release(self, key: Key) -> None:
        """Give it to whoever waits longest."""
        del self._held[key]
        line = self._waiting.get(key)
        while line:
            uow, park = line.popleft()
            if not park.done and park.process is not None and park.process.alive:
                self._held[key] = uow
                uow.locks[key] = self.engine.us
                park.wake(key)
                return

    def index(self, run: Run) -> None:
        """What is found by host, agent and session."""
        if run.state is RunState.ENDED:
            self.runs_open.pop(run.run_id, None)
        elif run.run_id not in self.runs_open:
            self.runs_open[run.run_id] = None
            self.runs_in.setdefault(run.session_id, []).append(run.run_id)


class UnitOfWork:
    """One transaction: what it reads is committed or its own; what it wrote is there after `commit`."""

    __slots__ = ("ended", "hand", "locks", "ring", "roused", "said", "since", "store", "written")

    def __init__(self, store: Store, hand: str) -> None:
        self.store, self.hand, self.since = store, hand, store.starts
        self.written: dict[Key, Any] = {}
        self.locks: dict[Key, int] = {}  # and since when
        self.ring: list[tuple[str, str]] = []  # wake, and the host whose worker is to look
        self.roused: list[str] = []
        self.said: list[Said] = []
        self.ended = False

    def reach(self) -> None:
        """Raise Unavailable if the database is down, was restarted meanwhile, or this hand's host is cut off."""
        store = self.store
        if not store.is_up or store.starts != self.since:
            raise Unavailable("the database does not answer")
        if store.cut_off and self.hand.partition("/")[0] in store.cut_off:
            raise Unavailable("this host is cut off")

    def get(self, *key: Any) -> Any:  # noqa: ANN401  a row
        """The row as this transaction sees it."""
        return self.written[key] if key in self.written else self.store.rows.get(key)

    def put(self, *key: Any, value: Any) -> None:  # noqa: ANN401  a row
        """Write a row."""
        self.written[key] = value

    def lock(self, *key: Any) -> Steps[None]:  # noqa: ANN401  a key
        """Hold the lock until the end. Raises Conflict after a second."""
        if key in self.locks:
            return
        if not self.store.take(key, self):
            if not (yield self.store.queue(key, self)):
                raise Conflict("somebody else is changing the same thing: try again")
            self.reach()
        else:
            self.locks[key] = self.store.engine.us

    def try_lock(self, *key: Any) -> bool:  # noqa: ANN401  a key
        """The lock, unless somebody else holds it."""
        if key in self.locks:
            return True
        if not self.store.take(key, self):
            return False
        self.locks[key] = self.store.engine.us
        return True

    def now(self, *not_before: datetime) -> datetime:
        """The clock, read after the lock."""
        return max(self.store.engine.now, *not_before) if not_before else self.store.engine.now

    def commit(self) -> None:
        """Everything is there for all to see, and the locks are free. Raises Unavailable."""
        self.reach()
        store = self.store
        rows = store.rows
        changes = {key: (rows.get(key), value) for key, value in self.written.items()}
        rows.update(self.written)
        for key, value in self.written.items():
            if key[0] == "run":
                store.index(value)
        self.end()
        store.watch(self, changes)

    def end(self) -> None:
        """Give up what was not committed."""
        if not self.ended:
            self.ended = True
            for key in self.locks:
                self.store.release(key)
