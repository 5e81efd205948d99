"""The shim: the small program that stands between a host's worker and one run, and lets nothing of it escape.

Rules of this file:

- It runs alone (`python -I -S -c START`): one thread, the standard library and siblings that keep to it. Its
  stdin is one end of a socketpair; the worker holds the other and nobody else does.
- The first line from the worker is the order (`Order`), later ones are `{"renew": at}` and
  `{"end": why, "grace_s": n}`. It answers `started`, `proved`, `ended`, one JSON object a line.
- It adopts every descendant (subreaper), so "no child left" means that nothing of the run lives, however it
  forked. `ended` is said only then.
- EOF, its parent's death, a fence that nobody renewed and `kill_after_s` each end the run, whatever the agent
  does. The clock goes on while the machine sleeps.
- What the agent writes is read, kept up to a bound, and never waited for.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import socket
import time
from typing import Any, Final

from bridge.adapters.runtimes.descent import (
    Process,
    adopt_orphans,
    below,
    boot_clock,
    die_with_parent,
    kill,
    own_children,
    processes,
    send,
)
from bridge.adapters.runtimes.shim_agent import Agent, Log, Order
from bridge.adapters.runtimes.shim_proof import Proof

ORDER_S: Final = 10.0  # for the order to arrive
GONE_GRACE_S: Final = 3.0  # the longest grace when the worker or its term is gone
LEFT_GRACE_S: Final = 2.0  # for what an agent that ended left behind
CHUNK: Final = 64 * 1024
INBOX_BYTES_MAX: Final = 4 * 1024 * 1024
KILL_BURST: Final = 20
KILL_POLL_S: Final = (0.01, 0.5)

# How it is started, with the folder that holds our package and the worker's pid as arguments: the folder comes
# last on the path, so that nothing in it stands before the standard library.
START: Final = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from bridge.adapters.runtimes.shim import main; main(int(sys.argv[2]))"
)


class Shim:
    """One run, from its order to the end of its last process."""

    def __init__(self, link: socket.socket, wakeup: int) -> None:
        """`wakeup` becomes readable with each signal."""
        self._link: socket.socket | None = link
        self._wakeup = wakeup
        self._inbox = bytearray()
        self._log: Log
        self._proof: Proof
        self._agent: Agent
        self._order: Order
        self._why = ""  # why we end it
        self._kill_at = self._fence_at = 0.0
        self._give_up_at = math.inf  # grace is over then
        self._kill_poll_s = KILL_POLL_S[0]
        self.terminated = False

    def run(self) -> None:
        """Take the order, see it through, report. Returns when nothing of the run lives."""
        line = self._first_line()
        if line is None:
            return
        self._order = order = json.loads(line)
        self._log = Log(order["log"])
        self._proof = Proof(order["identity"], order["native_id"], told=order["told"])
        self._fence_at = order["fence_at"]
        if boot_clock() >= self._fence_at:  # whoever gave the order stood still: others may have gone on
            self._tell(
                event="ended", status=None, result="killed", why="its host's term was over before it began"
            )
            return
        self._agent = agent = Agent(order)
        self._kill_at = boot_clock() + order["kill_after_s"]
        if not agent.trouble:
            self._tell(event="started", pid=agent.pid, pid_started=agent.started)
        self._obey()  # what came together with the order: nothing else would make us look
        while self._reap():
            self._check_time()
            self._wait()
        while any([self._read(agent.stdout), self._read(agent.stderr)]):
            pass  # nobody writes there any more
        self._proof.end()
        self._tell_proof()
        self._log.close()
        with contextlib.suppress(OSError):
            os.unlink(order["token_file"])  # noqa: PTH108 - as above
        self._report()

    def _first_line(self) -> bytes | None:
        """The order; None when the worker went away before it."""
        link, deadline = self._link, boot_clock() + ORDER_S
        while link is not None and (left := deadline - boot_clock()) > 0:
            link.settimeout(left)
            try:
                data = link.recv(CHUNK)
            except OSError:
                return None
            self._inbox += data
            line, newline, rest = self._inbox.partition(b"\n")
            if newline:
                self._inbox = rest
                link.settimeout(0)
                return bytes(line)
            if not data or len(self._inbox) > INBOX_BYTES_MAX:
                return None
        return None

    def _reap(self) -> bool:
        """Bury who ended; False when nobody is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._agent.pid:
                self._agent.status = os.waitstatus_to_exitcode(status)
                self._end_what_is_left()

    def _end_what_is_left(self) -> None:
        """The agent is gone: whatever it started goes too."""
        for one in self._below():
            send(one, signal.SIGTERM)
            send(one, signal.SIGCONT)
        self._give_up_by(boot_clock() + min(self._order["grace_s"], LEFT_GRACE_S))

    def _check_time(self) -> None:
        now = boot_clock()
        if self.terminated:
            self._end("its shim was told to stop", self._gone_grace_s())
        if now >= self._fence_at:
            self._fence_at = math.inf
            self._end("its host's term was not renewed in time", self._gone_grace_s())
        if now >= self._kill_at:
            self._kill_at = math.inf
            self._end(f"it ran for longer than {self._order['kill_after_s']:g} s", self._order["grace_s"])
        if now >= self._give_up_at:
            self._kill()
            self._kill_poll_s = min(self._kill_poll_s * 2, KILL_POLL_S[1])
            self._give_up_at = now + self._kill_poll_s

    def _kill(self) -> None:
        """Kill all there are. Who forks and ends faster than /proc is read becomes our child, and is hit as that."""
        for _ in range(KILL_BURST):
            for pid in own_children():  # not buried: their numbers are still theirs
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            if not self._reap():
                return
        kill(self._below(), {os.getpgrp()})

    def _below(self) -> list[Process]:
        return below({os.getpid()}, processes())

    def _gone_grace_s(self) -> float:
        return min(self._order["grace_s"], GONE_GRACE_S)

    def _end(self, why: str, grace_s: float) -> None:
        """Let it end; only the first reason counts, and grace is only ever shortened."""
        self._give_up_by(boot_clock() + max(0.0, grace_s))
        if not self._why and self._agent.status is None:
            self._why = why
            self._agent.terminate()

    def _give_up_by(self, at: float) -> None:
        self._give_up_at = min(at, self._give_up_at)

    def _wait(self) -> None:
        """Wait for whatever comes next, and take it in."""
        agent = self._agent
        agent.write()
        poll = select.poll()
        for fd in (self._wakeup, agent.stdout, agent.stderr):
            if fd >= 0:
                poll.register(fd, select.POLLIN)
        if self._link is not None:
            poll.register(self._link, select.POLLIN)
        if agent.stdin >= 0:
            poll.register(agent.stdin, select.POLLOUT)
        next_at = min(self._fence_at, self._kill_at, self._give_up_at)
        poll.poll(None if next_at == math.inf else max(0.0, next_at - boot_clock()) * 1000 + 1)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup, CHUNK)
        self._hear()
        self._read(agent.stdout)
        self._read(agent.stderr)

    def _read(self, fd: int) -> bool:
        """Take in a piece of output; False when there is none."""
        if fd < 0:
            return False
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        self._log.write(data)
        if fd == self._agent.stdout:
            self._proof.feed(data) if data else self._proof.end()
            self._tell_proof()
        if not data:
            os.close(fd)
            if fd == self._agent.stdout:
                self._agent.stdout = -1
            else:
                self._agent.stderr = -1
        return bool(data)

    def _tell_proof(self) -> None:
        proof = self._proof
        if proof.native_id is not None:
            self._tell(event="proved", native_id=proof.native_id)
            proof.native_id = None
        if proof.wrong:
            self._end(proof.wrong, self._order["grace_s"])

    def _hear(self) -> None:
        """What the worker says; its end is ours."""
        if self._link is None:
            return
        try:
            data = self._link.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._link = None
            self._end("its host's worker is gone", self._gone_grace_s())
            return
        self._inbox += data
        self._obey()

    def _obey(self) -> None:
        """Do what stands in whole lines."""
        *lines, rest = self._inbox.split(b"\n")
        self._inbox = bytearray(rest)
        for line in lines:
            said = json.loads(line)
            if "renew" in said:
                self._fence_at = max(self._fence_at, float(said["renew"]) + self._order["fence_s"])
            if "end" in said:
                self._end(str(said["end"]), float(said["grace_s"]))

    def _tell(self, **event: Any) -> None:  # noqa: ANN401 - JSON
        """Tell the worker; the few short lines of a run always have room in the socket."""
        if self._link is not None:
            with contextlib.suppress(OSError):
                self._link.send(json.dumps(event).encode() + b"\n")

    def _report(self) -> None:
        """The last word."""
        agent, status = self._agent, self._agent.status
        if agent.trouble:
            self._tell(event="ended", status=status, result="crashed", why=agent.trouble)
        elif self._why:
            self._tell(event="ended", status=status, result="killed", why=self._why)
        elif self._proof.wrong:
            self._tell(event="ended", status=status, result="crashed", why=self._proof.wrong)
        elif status == 0:
            self._tell(event="ended", status=0, result="exited", why="it ended by itself")
        else:
            how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
            self._tell(event="ended", status=status, result="crashed", why=f"it ended with {how}")


def kill_everything() -> None:
    """Kill and bury every descendant, as often as it takes."""
    wait_s = KILL_POLL_S[0]
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        kill(below({os.getpid()}, processes()), {os.getpgrp()})
        time.sleep(wait_s)
        wait_s = min(wait_s * 2, KILL_POLL_S[1])


def main(worker: int) -> None:
    """Be the shim of the worker with that pid."""
    link = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    shim = Shim(link, reading)

    def terminated(_number: int, _frame: object) -> None:
        shim.terminated = True

    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    adopt_orphans()
    if die_with_parent(signal.SIGTERM, worker):
        try:
            shim.run()
        finally:
            kill_everything()  # nothing to do, unless the shim itself failed
