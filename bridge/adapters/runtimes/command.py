"""The command runtime: runs are started on this host, watched by a shim each, and ended whatever happens.

Rules of this file:

- Shims are started by one thread that is as old as the book: they get a signal when that thread ends. Another
  listens to them, another tells the watcher, another keeps tokens fresh; none waits for another.
- A shim's line has two ends: the worker's, and the shim's. Nothing else may inherit either, or the end of the
  worker would not be seen: every descriptor is closed on exec.
- A run is held from before its shim is started until its end was taken, so that no sweep can hit it.
- Clock readings are the boot clock's, the same one that the shims read.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Final

import structlog

import bridge
from bridge.adapters.presets.catalogue import Catalogue
from bridge.adapters.runtimes.agent_user import agent_user
from bridge.adapters.runtimes.command_spec import Place, check, command_of, make_order, marks
from bridge.adapters.runtimes.descent import boot_clock
from bridge.adapters.runtimes.orphans import SHIM_MARK, kill_left, marked
from bridge.adapters.runtimes.run_files import RunFiles
from bridge.adapters.runtimes.run_held import Held
from bridge.adapters.runtimes.run_reader import CLEAN_LOOKS, LEFT_S, Reader
from bridge.adapters.runtimes.run_teller import Teller
from bridge.adapters.runtimes.run_tokens import TokenKeeper, half_life
from bridge.adapters.runtimes.shim import START
from bridge.config import Settings, inherited_environment
from bridge.core.errors import Conflict, Unavailable
from bridge.ports.runs import CRASHED, FENCE_S, Credentials, RunSpec, RunWatcher

RUNS_MAX: Final = 64  # far above the slots of a host: a bound, not a policy
REFUSED_MAX: Final = 1_000
START_S: Final = 3.0
OVERDUE_S: Final = 5.0  # beyond every grace: a shim that has not ended its run by then is stuck
SWEEP_S: Final = 5.0
STOP_S: Final = 2.0

PACKAGES: Final = str(Path(bridge.__file__).resolve().parents[1])

log = structlog.get_logger(__name__)

_Wish = tuple[Held, Future[None]]


class RunBook:
    """The Runs of this host: every run of its worker, from its start until its end was taken."""

    def __init__(
        self,
        settings: Settings,
        watcher: RunWatcher,
        credentials: Credentials,
        *,
        clock: Callable[[], float] = boot_clock,
        environment: Mapping[str, str] | None = None,
        fence_s: float = FENCE_S,
    ) -> None:
        """Ready to start runs; the host's term counts as renewed now. `environment` is what presets choose from.

        Raises InvalidArgument where agents are to be a user that they cannot be made.
        """
        self._fence_s = fence_s
        self._settings, self._clock = settings, clock
        self._environment = inherited_environment() if environment is None else environment
        self._lock = threading.RLock()
        self._held: dict[str, Held] = {}
        self._refused: OrderedDict[str, None] = OrderedDict()
        self.catalogue = Catalogue(settings.presets_dir, self._environment)
        self._user = agent_user(settings)
        self._files = RunFiles(settings, self._user)
        self._renewed_at = clock()
        self._closed = False
        self._teller = Teller(clock, self._runs, self._done)
        self._reader = Reader(
            watcher,
            self._files,
            settings.host_name,
            fence_s,
            clock,
            self._runs,
            self._lock,
            self._teller.tell,
        )
        self._tokens = TokenKeeper(credentials, self._files, clock, self._runs, self._lock)
        self._wishes: queue.Queue[_Wish | None] = queue.Queue(RUNS_MAX + 1)
        self._spawner = threading.Thread(target=self._spawn_forever, name="runs-spawner", daemon=True)
        self._spawner.start()
        for part in (self._teller, self._reader, self._tokens):
            part.start()

    def presets(self) -> dict[str, list[str]]:
        """The presets that can start something here, and on which rungs; broken ones are left out, and logged."""
        return self.catalogue.startable()

    def start_by(self) -> float:
        """When the term, as it is known now, ends for what is started here."""
        return self._renewed_at + self._fence_s

    def start(self, spec: RunSpec) -> None:
        """Start the run and return when its shim is there with its order under way.

        Raises InvalidArgument for what can never start here, Conflict for a run that was started before,
        Unavailable for what cannot start now. When it raises, nothing was started and nothing will be told.
        """
        place = self._files.place(spec.run_id)
        check(spec)
        command = command_of(spec, self._settings)
        order = make_order(
            spec,
            command,
            self._settings,
            self._environment,
            place,
            self._renewed_at,
            self._fence_s,
            self._user,
        )
        now = self._clock()
        if now >= order["fence_at"]:
            raise Unavailable("this host's term is over: nothing is started")
        held = Held(spec, place, order, command, now + spec.kill_after_s + spec.kill_grace_s + OVERDUE_S)
        held.token_at = now + half_life(spec.token)
        held.renewed_at = order["fence_at"] - self._fence_s
        self._take(held)
        try:
            self._files.make(place, spec.token)
            self._spawned(held)
        except BaseException as error:
            self._forget(held)
            if isinstance(error, FileExistsError):
                raise Conflict("this run was started before") from error
            self._files.remove(place)
            if isinstance(error, OSError):
                raise Unavailable(f"no process could be started: {error}") from error
            raise

    def end(self, run_id: str, why: str, grace_s: float) -> None:
        """End the run: TERM, and KILL after the grace. Again, or of an unknown run: nothing happens."""
        with self._lock:
            held = self._held.get(run_id)
            if held is None or held.over:
                return
            held.asked = held.asked or why
            held.overdue_at = min(held.overdue_at, self._clock() + max(grace_s, 0.0) + OVERDUE_S)
            held.put({"end": why, "grace_s": grace_s})
        self._reader.wake()

    def renew(self) -> None:
        """The host's term was renewed just now: every run may go on for FENCE_S."""
        self._renewed_at = self._clock()
        self._reader.renewed(self._renewed_at)

    def refuse(self, run_id: str) -> bool:
        """A run that was given up is not started any more; False when it is held already."""
        with self._lock:
            self._refused[run_id] = None
            while len(self._refused) > REFUSED_MAX:
                self._refused.popitem(last=False)
            return run_id not in self._held

    def held(self) -> set[str]:
        """The ids of the runs whose end was not taken yet."""
        with self._lock:
            return set(self._held)

    def sweep(self, keep: set[str]) -> set[str]:
        """Kill what lives of this host's runs that are neither held nor in `keep`; the ids that were found."""
        swept: set[str] = set()
        clean, deadline = 0, self._clock() + SWEEP_S
        while clean < CLEAN_LOOKS and self._clock() < deadline:
            before = self.held()  # what is over a moment later was no orphan either
            found = marked(self._settings.host_name, self._files.folder)
            left = found.keys() - keep - before - self.held()
            killed = {run_id for run_id in left if kill_left(found[run_id], ())}
            swept |= killed
            clean = 0 if killed else clean + 1
            if clean < CLEAN_LOOKS:
                time.sleep(LEFT_S)
        if clean < CLEAN_LOOKS:
            log.error("runs.sweep_incomplete", runs=sorted(swept))
        self._files.tidy(lambda: self.held() | keep)
        return swept

    def close(self, grace_s: float) -> None:
        """End every run, tell of it, and start none any more."""
        with self._lock:
            self._closed = True
        for run_id in self.held():
            self.end(run_id, "its host's worker stops", grace_s)
        deadline = self._clock() + grace_s + OVERDUE_S + STOP_S
        while self.held() and self._clock() < deadline:
            time.sleep(LEFT_S)
        self._tokens.stop()
        self._teller.stop(STOP_S)
        self._reader.stop(STOP_S)
        self._wishes.put(None)
        self._spawner.join(STOP_S)
        for run_id in self.held():
            log.error("run.end_not_taken", run_id=run_id)

    def _runs(self) -> list[Held]:
        with self._lock:
            return list(self._held.values())

    def _take(self, held: Held) -> None:
        with self._lock:
            if self._closed:
                raise Unavailable("this host's worker stops: nothing is started")
            if held.spec.run_id in self._refused:
                raise Conflict("this run was given up before it was started")
            if held.spec.run_id in self._held:
                raise Conflict("this run was started before")
            if len(self._held) >= RUNS_MAX:
                raise Unavailable(f"{RUNS_MAX} runs are held already")
            self._held[held.spec.run_id] = held

    def _forget(self, held: Held) -> None:
        with self._lock:
            self._held.pop(held.spec.run_id, None)

    def _done(self, held: Held) -> None:
        self._forget(held)
        self._files.tidy(self.held)

    def _spawned(self, held: Held) -> None:
        """Have the spawner start the shim. Raises OSError, Unavailable."""
        wish: Future[None] = Future()
        self._wishes.put_nowait((held, wish))
        try:
            wish.result(START_S)
        except FutureTimeout:
            if wish.cancel():
                raise Unavailable("starting a process takes too long here") from None
            # It is being started at this moment: from here on it is a run like any other.
            wish.add_done_callback(lambda done: self._failed_late(held, done.exception()))
        self._tokens.look()

    def _failed_late(self, held: Held, error: BaseException | None) -> None:
        if error is not None:
            self._reader.over(held, None, CRASHED, f"could not be started: {error}")

    def _spawn_forever(self) -> None:
        while (wish := self._wishes.get()) is not None:
            held, future = wish
            if not future.set_running_or_notify_cancel():
                continue
            try:
                self._spawn(held)
            except BaseException as error:  # noqa: BLE001 - it is the caller's, and this thread must not end
                future.set_exception(error)
            else:
                future.set_result(None)
                self._reader.wake()

    def _spawn(self, held: Held) -> None:
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as closing:
            closing.callback(theirs.close)
            on_failure = closing.enter_context(contextlib.ExitStack())
            on_failure.callback(ours.close)
            trouble = os.open(
                held.place.shim_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            closing.callback(os.close, trouble)
            shim = subprocess.Popen(  # noqa: S603 - our own interpreter and program
                [sys.executable, "-I", "-S", "-X", "utf8", "-c", START, PACKAGES, str(os.getpid())],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=trouble,
                cwd="/",
                env=self._shim_environment(held.spec.run_id, held.place),
                start_new_session=True,
            )
            on_failure.pop_all()
        ours.settimeout(0)
        with self._lock:
            held.out[:0] = held.first_line()
            held.shim, held.link = shim, ours

    def _shim_environment(self, run_id: str, place: Place) -> dict[str, str]:
        return {**marks(run_id, self._settings, place), SHIM_MARK: "1"}
