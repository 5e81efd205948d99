"""The agent's own process as the shim holds it: what to run, its pipes, its output.

Rules of this file:

- Standard library and siblings that keep to it: the shim loads it in a bare interpreter.
- Between fork and exec nothing is left of the shim: signals, group and session are the agent's own, and only
  its three pipes stay open. Where agents are another user, the shim is not: what an agent may touch, it may fake.
- Nothing here waits for the agent.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
from typing import Final, TypedDict

from bridge.adapters.runtimes.descent import die_with_parent, process
from bridge.adapters.runtimes.shim_proof import Rule

LOG_BYTES_MAX: Final = 1024 * 1024
NOT_STARTED: Final = 127
_PR_SET_NO_NEW_PRIVS: Final = 38
_libc = ctypes.CDLL(None, use_errno=True)


class User(TypedDict):
    """Whom the agent's process becomes."""

    uid: int
    gid: int
    groups: list[int]


class Order(TypedDict):
    """What to run. `fence_at` is on this machine's boot clock; `identity` None: any first line is proof."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    prompt: str
    native_id: str
    told: bool  # the program names the session; else it must be native_id
    identity: Rule | None
    kill_after_s: float
    grace_s: float
    fence_at: float
    fence_s: float
    log: str
    token_file: str
    user: User | None  # None: whoever the shim is


class Log:
    """The file with the agent's output, up to its bound."""

    def __init__(self, path: str) -> None:
        """Open it; where that cannot be, output is only counted."""
        self._fd = -1
        self._left, self._lost = LOG_BYTES_MAX, 0
        with contextlib.suppress(OSError):
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, data: bytes) -> None:
        """Keep what there is room for."""
        kept = data[: self._left]
        self._left -= len(kept)
        self._lost += len(data) - len(kept)
        self._put(kept)

    def close(self) -> None:
        """Say in the last line what was not kept."""
        if self._lost:
            self._put(b"\n[%d bytes more were not kept]\n" % self._lost)

    def _put(self, data: bytes) -> None:
        if self._fd >= 0 and data:
            with contextlib.suppress(OSError):  # a full disk is no reason to end a run
                os.write(self._fd, data)


class Agent:
    """The agent's own process, and its three pipes."""

    def __init__(self, order: Order) -> None:
        """Start it. `trouble` says why it could not be started."""
        ends = [os.pipe2(os.O_CLOEXEC) for _ in range(4)]
        (inside, self.stdin), (self.stdout, out), (self.stderr, err), (failure, broken) = ends
        if user := order["user"]:
            for fd in (inside, out, err):  # so that it may open /dev/stderr, as shells do
                os.fchown(fd, user["uid"], user["gid"])
        shim = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _become(order, shim, (inside, out, err), broken)
        for fd in (inside, out, err, broken):
            os.close(fd)
        for fd in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(fd, False)
        self.trouble = os.read(failure, 4096).decode(errors="replace")  # EOF: it was exec-ed
        os.close(failure)
        found = process(self.pid)
        self.started = found.started if found else 0
        self.prompt = memoryview(order["prompt"].encode())
        self.status: int | None = None

    def write(self) -> None:
        """Give it more of its prompt, then EOF. An agent that does not want to read it misses it."""
        if self.stdin < 0:
            return
        try:
            if self.prompt:
                self.prompt = self.prompt[os.write(self.stdin, self.prompt) :]
        except BlockingIOError:
            return
        except OSError:
            self.prompt = memoryview(b"")
        if not self.prompt:
            os.close(self.stdin)
            self.stdin = -1

    def terminate(self) -> None:
        """Ask the agent's group to end. Its number is the agent's own: only as long as it is not buried."""
        for signum in (signal.SIGTERM, signal.SIGCONT):  # a stopped one must go on to hear it
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signum)


def _become(order: Order, shim: int, wires: tuple[int, int, int], broken: int) -> None:
    """In the child: be the agent. Never returns."""
    doing = order["argv"][0]
    try:
        os.setsid()
        if user := order["user"]:
            doing = f"as user {user['uid']}"
            _turn_into(user)
            doing = order["argv"][0]
        if not die_with_parent(signal.SIGKILL, shim):  # after that: another user's process forgets it
            os._exit(NOT_STARTED)
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        for target, fd in enumerate(wires):
            os.dup2(fd, target)
        doing = f"its directory {order['cwd']}"
        os.chdir(order["cwd"])
        doing = order["argv"][0]
        os.execvpe(order["argv"][0], order["argv"], order["env"])  # noqa: S606 - never a shell
    except OSError as error:
        os.write(broken, f"could not be started: {doing}: {_words(error)}".encode()[:4000])
    except (ValueError, TypeError) as error:
        os.write(broken, f"could not be started: {doing}: {error}".encode()[:4000])
    finally:
        os._exit(NOT_STARTED)


def _turn_into(user: User) -> None:
    """Be that user for good: no program that it starts can make it more, sudo and the like included."""
    os.setgroups(user["groups"])
    os.setresgid(user["gid"], user["gid"], user["gid"])
    os.setresuid(user["uid"], user["uid"], user["uid"])
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "it could gain rights")


def _words(error: OSError) -> str:
    return {
        errno.ENOENT: "there is no such file",
        errno.EACCES: "not allowed, or not executable",
        errno.EPERM: "not allowed",
        errno.ENOEXEC: "not a program",
        errno.ENOTDIR: "not a directory",
        errno.E2BIG: "its arguments and environment are too long",
    }.get(error.errno or 0, error.strerror or str(error))
