"""Keeping processes running: ordered start, restart without limit, ordered stop, no leftovers.

Rules of this file:

- Every child leads its own session, so that Ctrl-C reaches the manager alone, and its group can be killed.
- The manager adopts every descendant whose parent dies. What a dead service leaves behind is killed before
  the service is started again: a leftover would hold its port, its socket or its shared memory.
- A process of a run comes to the manager only when its shim is dead: a leftover, whosever it was. A shim whose
  worker is dead ends its run itself.
- Restarts are never given up, for a Postgres that waits for its old backends comes back after half a minute;
  the pause between two grows to `PAUSE_S_MAX`, and shrinks again once the process has lived.
- A stop goes against the order of the start, each service as soon as those that need it are gone.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bridge.core.errors import OurError
from bridge.stack.log import pump
from bridge.stack.process import (
    RUN_MARK,
    SERVICE_MARK,
    SHIM_MARK,
    adopt_orphans,
    child_setup,
    environment_of,
    processes,
    reap,
    send,
    send_group,
)
from bridge.stack.services import Service

PAUSE_S_MIN = 0.1
PAUSE_S_MAX = 5.0
LIVED_S = 10.0
PROBE_S = 0.05
REAP_S = 5.0
PUMP_END_S = 2.0
LAST_WORDS_MAX = 20
EXIT_NOT_STARTED = 127


class ServiceFailed(OurError):
    """A step of the start failed."""


class _Kept:
    """One service and what is known of it now."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.process: asyncio.subprocess.Process | None = None
        self.pid: int | None = None  # also of the one that just ended, until there is another
        self.task: asyncio.Task[None] | None = None
        self.ready = asyncio.Event()
        self.ended = asyncio.Event()
        self.last_words: list[str] = []


class Supervision:
    """Runs `services` until `stop`. Use it from the main thread's event loop: children die with that thread.

    `tell(name, line)` gets every line a service writes and what is decided about it; `changed()` is called
    whenever a service has a new process. Once `hurry` is
    set, `stop` kills where it would wait.
    """

    def __init__(
        self,
        services: Iterable[Service],
        *,
        environment: Mapping[str, str],
        cwd: Path,
        tell: Callable[[str, str], None],
        changed: Callable[[], None],
        hurry: asyncio.Event,
    ) -> None:
        self._kept = {service.name: _Kept(service) for service in services}
        self._environment = environment
        self._cwd = cwd
        self._tell = tell
        self._changed = changed
        self._stopping = asyncio.Event()
        self._hurry = hurry
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Held while a child is being started and while orphans are looked for: a child whose start is not yet
        # known would be taken for an orphan.
        self._starting = asyncio.Lock()
        self._reaper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; returns at once."""
        adopt_orphans()
        for kept in self._kept.values():
            kept.task = asyncio.create_task(self._keep(kept))
        self._reaper = asyncio.create_task(self._reap_orphans())

    def pids(self) -> dict[str, int]:
        """Each service's process, the last one while it is replaced; those that run once are left out."""
        return {
            name: kept.pid
            for name, kept in self._kept.items()
            if kept.pid is not None and not kept.service.once
        }

    def waiting_for(self) -> list[str]:
        """The services that the stack waits for."""
        return [name for name, kept in self._kept.items() if kept.service.awaited and not kept.ready.is_set()]

    async def until_ready(self) -> None:
        """Return once every awaited service has been ready; fail when one that runs once has failed."""
        everything = asyncio.create_task(self._all_ready())
        failed: asyncio.Future[None] = self._failed
        try:
            await asyncio.wait([everything, failed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            everything.cancel()
        if self._failed.done():
            self._failed.result()

    async def _all_ready(self) -> None:
        for kept in self._kept.values():
            if kept.service.awaited:
                await kept.ready.wait()

    async def stop(self) -> None:
        """Stop everything; nothing is left when this returns, after the graces at the latest."""
        self._stopping.set()
        await asyncio.gather(*(self._stop(kept) for kept in self._kept.values()))
        if self._reaper is not None:
            self._reaper.cancel()
        async with self._starting:
            await self._kill_orphans(None)

    async def _keep(self, kept: _Kept) -> None:
        service = kept.service
        for name in (*service.needs, *service.after):
            await self._kept[name].ready.wait()
        pause_s = PAUSE_S_MIN
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                status = await self._run(kept, began)
            except (OSError, subprocess.SubprocessError) as error:  # it could not even be started
                self._tell("stack", f"{service.name}: {error}")
                status = EXIT_NOT_STARTED
            if self._stopping.is_set():
                return
            if service.once:
                self._finish(kept, status)
                return
            if time.monotonic() - began > LIVED_S:
                pause_s = PAUSE_S_MIN
            self._tell("stack", f"{service.name} {_ending(status)}; starting it again in {pause_s:.1f} s")
            await asyncio.sleep(pause_s)
            pause_s = min(PAUSE_S_MAX, pause_s * 2)

    async def _run(self, kept: _Kept, began: float) -> int:
        """Start the process and stay until it and all that it left behind are gone."""
        # A pipe of our own: with asyncio's, `wait` would also wait for every orphan that has it open.
        output, written = os.pipe()
        try:
            process = await self._spawn(kept, written)
        except BaseException:
            os.close(output)
            raise
        finally:
            os.close(written)
        probe = asyncio.create_task(self._probe(kept, began))
        reading = asyncio.create_task(pump(output, lambda line: self._said(kept, line)))
        try:
            status = await process.wait()
        finally:
            probe.cancel()
            kept.ready.clear()
        send_group(process.pid, signal.SIGKILL)
        async with self._starting:
            kept.process = None
            await self._kill_orphans(kept.service.name)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reading, PUMP_END_S)
        return status

    async def _spawn(self, kept: _Kept, output: int) -> asyncio.subprocess.Process:
        service = kept.service
        marked = {**self._environment, **service.environment, SERVICE_MARK: service.name}
        async with self._starting:
            kept.process = await asyncio.create_subprocess_exec(
                *service.argv(),
                env=marked,
                cwd=self._cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=child_setup(service.identity, service.death_signal),
            )
        kept.pid = kept.process.pid
        self._changed()
        return kept.process

    async def _probe(self, kept: _Kept, began: float) -> None:
        service = kept.service
        if service.once:
            return
        while service.ready is not None:
            if await asyncio.to_thread(service.ready):
                break
            await asyncio.sleep(PROBE_S)
        kept.ready.set()
        pid = kept.process.pid if kept.process else 0
        self._tell("stack", f"{service.name} ready in {time.monotonic() - began:.2f} s (pid {pid})")

    def _said(self, kept: _Kept, line: str) -> None:
        kept.last_words = [*kept.last_words, line][-LAST_WORDS_MAX:]
        self._tell(kept.service.name, line)

    def _finish(self, kept: _Kept, status: int) -> None:
        if status == 0:
            kept.ready.set()
            self._tell("stack", f"{kept.service.name} done")
        elif not self._failed.done():
            last = next((line for line in reversed(kept.last_words) if line), "it said nothing")
            self._failed.set_exception(ServiceFailed(f"{kept.service.name} {_ending(status)}: {last}"))

    async def _stop(self, kept: _Kept) -> None:
        later = [other for other in self._kept.values() if kept.service.name in other.service.needs]
        for other in later:
            await other.ended.wait()
        task = kept.task
        try:
            if kept.process is not None and task is not None:
                await self._end(kept.process.pid, kept.service, task)
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        finally:
            kept.ended.set()

    async def _end(self, pid: int, service: Service, task: asyncio.Task[None]) -> None:
        send(pid, service.stop_signal)
        send(pid, signal.SIGCONT)  # a stopped process would not hear it
        hurried = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({task, hurried}, timeout=service.grace_s, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not task.done():
            self._tell("stack", f"{service.name} does not stop: killed")
            send_group(pid, signal.SIGKILL)
            await asyncio.wait({task})

    async def _reap_orphans(self) -> None:
        while True:
            await asyncio.sleep(REAP_S)
            async with self._starting:
                for pid, ended in self._orphans():
                    if ended:
                        reap(pid)
                    elif _lost_by_shim(environment_of(pid)):
                        send(pid, signal.SIGKILL)

    async def _kill_orphans(self, service: str | None) -> None:
        """Kill what the named service left behind (None: what anybody did), and what that leaves in turn."""
        while found := [
            (pid, ended) for pid, ended in self._orphans() if ended or self._left_by(pid, service)
        ]:
            for pid, ended in found:
                if not ended:
                    send(pid, signal.SIGKILL)
                await asyncio.to_thread(reap, pid)

    def _left_by(self, pid: int, service: str | None) -> bool:
        """Whether an orphan is the service's. Postgres overwrites what its processes were started with."""
        marks = environment_of(pid)
        origin = marks.get(SERVICE_MARK)
        if service is None or origin == service or _lost_by_shim(marks):
            return True
        return origin is None and service == "postgres"

    def _orphans(self) -> list[tuple[int, bool]]:
        ours = {kept.process.pid for kept in self._kept.values() if kept.process is not None}
        return [
            (info.pid, info.ended)
            for info in processes()
            if info.ppid == os.getpid() and info.pid not in ours
        ]


def _lost_by_shim(marks: Mapping[str, str]) -> bool:
    return RUN_MARK in marks and SHIM_MARK not in marks


def _ending(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"exited with status {status}"
