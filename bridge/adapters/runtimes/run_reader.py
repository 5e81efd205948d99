"""Listening to the shims: one thread, which never waits for anything but them.

Rules of this file:

- What a shim says is put into the run's tellings, never told from here.
- A run is over when its shim said so and is gone; or, when the shim is gone without a last word, when two looks
  through /proc in a row found nothing more to kill.
- A shim that does not end its run in time (it was stopped, it hangs) is killed, and its run with it.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from bridge.adapters.runtimes.orphans import kill_left, marked, seen_below
from bridge.adapters.runtimes.run_ending import found_by, trouble_in
from bridge.adapters.runtimes.run_files import RunFiles
from bridge.adapters.runtimes.run_held import Held
from bridge.adapters.runtimes.shim import GONE_GRACE_S
from bridge.core.states import SessionFound
from bridge.ports.runs import CRASHED, EXITED, KILLED, LOST, RESULTS, RunWatcher

CHUNK: Final = 64 * 1024
LOOK_S: Final = 0.25  # between looks at what runs below the shims
LEFT_S: Final = 0.02  # between looks for what a dead shim left
STUCK_S: Final = 1.0  # beyond fence and grace
EXIT_S: Final = 2.0  # from a shim's last word to its end
CLEAN_LOOKS: Final = 2

log = structlog.get_logger(__name__)


class Reader:
    """Hears the shims of the held runs, and cleans up after those that die."""

    def __init__(
        self,
        watcher: RunWatcher,
        files: RunFiles,
        host_name: str,
        fence_s: float,
        clock: Callable[[], float],
        runs: Callable[[], list[Held]],
        lock: threading.RLock,
        tell: Callable[[], None],
    ) -> None:
        """`runs` are those that are held now; `tell` says that there is something to tell."""
        self._watcher, self._files, self._host_name = watcher, files, host_name
        self._fence_s = fence_s
        self._clock, self._runs, self._lock, self._tell = clock, runs, lock, tell
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.settimeout(0)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._boot_id = _boot_id()
        self._looked_at = 0.0
        self._renewed_at = clock()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="runs-reader", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new to send or to hear."""
        with contextlib.suppress(OSError):
            self._waker.send(b".")

    def renewed(self, at: float) -> None:
        """Every shim is to know of this renewal."""
        self._renewed_at = at
        self.wake()

    def stop(self, timeout_s: float) -> None:
        """Hear nothing more and hang up: a shim that still lives ends its run."""
        self._stopped = True
        self.wake()
        self._thread.join(timeout_s)
        self._selector.close()
        for end in (self._woken, self._waker):
            end.close()

    def _work(self) -> None:
        while not self._stopped:
            try:
                self._turn()
            except Exception:
                log.exception("run.reader_failed")
                self._woken.settimeout(EXIT_S)  # the same trouble again at once would help nobody
                with contextlib.suppress(OSError):
                    self._woken.recv(CHUNK)
                self._woken.settimeout(0)
        for held in self._runs():
            self._hang_up(held)

    def _turn(self) -> None:
        for held in self._runs():
            self._attend(held)
        for key, _ in self._selector.select(self._pause()):
            held = key.data
            if held is None:
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(CHUNK)
            else:
                self._hear(held)
        now = self._clock()
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            for held in self._runs():
                if held.shim is not None and held.link is not None:
                    held.seen = seen_below(held.shim.pid, held.seen)
        self._look_after(now)

    def _pause(self) -> float | None:
        runs = self._runs()
        if any(held.hung_up_at is not None and not held.over for held in runs):
            return LEFT_S
        return LOOK_S if runs else None

    def _attend(self, held: Held) -> None:
        """Send what waits; listen to a run that is new."""
        with self._lock:
            link = held.link
            if link is None or held.hung_up_at is not None:
                return
            if held.renewed_at < self._renewed_at and not held.out:
                held.renewed_at = self._renewed_at
                held.put({"renew": held.renewed_at})
            with contextlib.suppress(OSError):  # it is stuck, or gone, which reading will tell
                while held.out:
                    del held.out[: link.send(held.out)]
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if held.out else 0)
        if not held.listening:
            held.listening = True
            self._selector.register(link, events, held)
        elif self._selector.get_key(link).events != events:
            self._selector.modify(link, events, held)

    def _hear(self, held: Held) -> None:
        link = held.link
        if link is None:
            return
        try:
            data = link.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        try:
            for line in held.lines(data):
                self._heard(held, line)
        except (ValueError, KeyError, TypeError):
            log.exception("run.shim_not_understood", run_id=held.spec.run_id)
            data = b""
        if not data:
            self._hang_up(held)

    def _heard(self, held: Held, line: dict[str, Any]) -> None:
        spec, watcher = held.spec, self._watcher
        match line["event"]:
            case "started" if held.shim is not None:
                shim_pid, pid, started = held.shim.pid, int(line["pid"]), int(line["pid_started"])
                held.started = True
                self._add(
                    held,
                    lambda: watcher.started(
                        spec, boot_id=self._boot_id, shim_pid=shim_pid, pid=pid, pid_started=started
                    ),
                )
            case "proved":
                native_id = str(line["native_id"])
                held.proved = True
                self._add(held, lambda: watcher.proved(spec, native_id))
            case "ended" if line["result"] in RESULTS:
                status = line["status"]
                held.last_word = (None if status is None else int(status), line["result"], str(line["why"]))

    def _add(self, held: Held, telling: Callable[[], None]) -> None:
        held.tellings.append(telling)
        self._tell()

    def _hang_up(self, held: Held) -> None:
        link = held.link
        if link is None:
            return
        if held.listening:
            self._selector.unregister(link)
        with self._lock:
            held.hung_up_at = self._clock()
            held.link, held.listening = None, False
        link.close()

    def _look_after(self, now: float) -> None:
        """Shims that should have ended, shims that have, and what they left behind."""
        dead: list[Held] = []
        for held in self._runs():
            if held.shim is None or held.over:
                continue
            if held.link is not None and held.last_word is None:
                self._kill_if_stuck(held, held.shim, now)
            if held.hung_up_at is None:
                continue
            if held.shim.poll() is None:
                if now - held.hung_up_at >= EXIT_S:
                    held.shim.kill()
            elif held.last_word is not None:
                self.over(held, *held.last_word)
            else:
                dead.append(held)
        if dead:
            self._end_what_is_left(dead)

    def _kill_if_stuck(self, held: Held, shim: subprocess.Popen[bytes], now: float) -> None:
        """A shim that is stopped or hangs does not end its run; we do."""
        if now >= held.overdue_at:
            held.asked = held.asked or "it ran for too long"
        elif now >= self._renewed_at + self._fence_s + GONE_GRACE_S + STUCK_S:
            held.asked = held.asked or "its host's term was not renewed in time"
        else:
            return
        log.warning("run.shim_stuck", run_id=held.spec.run_id, why=held.asked)
        shim.kill()

    def _end_what_is_left(self, dead: list[Held]) -> None:
        found = marked(self._host_name, self._files.folder)
        for held in dead:
            if kill_left(found.get(held.spec.run_id, []), held.seen):
                held.clean_looks = 0
                continue
            held.clean_looks += 1
            if held.clean_looks >= CLEAN_LOOKS:
                self.over(held, None, *self._verdict(held))

    def _verdict(self, held: Held) -> tuple[str, str]:
        """How a run ended whose shim had no last word."""
        code = held.shim.returncode if held.shim is not None else None
        if held.asked:
            return KILLED, held.asked
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code != signal.SIGKILL else ""
            return LOST, f"its shim was killed{name and f' by {name}'}"
        words = self._files.last_words(held.place)
        failed = f"its shim failed{words and f': {words}'}"
        return (LOST, failed) if held.started else (CRASHED, f"could not be started: {failed}")

    def over(self, held: Held, status: int | None, result: str, why: str) -> None:
        """Nothing of the run lives: its token goes, and the watcher is told."""
        with self._lock:
            held.over = True
            self._files.drop_token(held.place)
        found, said = _said_itself(held, result)
        words = f"{why}; {said}" if said else why

        def telling() -> None:
            self._watcher.ended(held.spec, status=status, result=result, why=words, found=found)
            held.taken = True

        self._add(held, telling)


def _said_itself(held: Held, result: str) -> tuple[SessionFound | None, str]:
    """What a program that ended by itself said of its failure."""
    if result not in {EXITED, CRASHED}:
        return None, ""
    if held.proved:
        return None, trouble_in(held.command, held.place.log)
    return found_by(held.command, held.place.log)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
