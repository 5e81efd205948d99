"""Starting one child process safely, and finding what is left of it.

Rules of this file:

- A child dies with the process that started it (parent-death signal). The signal fires when the *thread* that
  started it ends, so children are started from the main thread only.
- Postgres refuses to run as root. Root runs it in a user namespace, where it believes to be somebody else
  while its files stay root's: nothing is chmod-ed, no user is made. Where namespaces are forbidden it runs as
  `nobody` with the one capability it needs to reach its own files.
- What a dead process leaves behind is found through /proc: by the mark in its environment, or, for a Postgres
  backend, which overwrites its environment, by its working directory.
"""

import ctypes
import os
import pwd
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

STACK_MARK = "BRIDGE_STACK"
SERVICE_MARK = "BRIDGE_SERVICE"
RUN_MARK, SHIM_MARK = "BRIDGE_RUN_ID", "BRIDGE_SHIM"
"""What a host's runs carry, and what their shims carry besides."""

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_SET_CHILD_SUBREAPER = 36
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAP_VERSION_3 = 0x20080522

# The child ends with one of these when it cannot be set up; the manager's log shows the number.
EXIT_NO_NAMESPACE = 71
EXIT_PARENT_GONE = 72
EXIT_NO_CAPABILITY = 73

_libc = ctypes.CDLL(None, use_errno=True)


class Identity(StrEnum):
    """Who a child process is."""

    SAME = "same"  # the user who starts it
    NAMESPACE = "namespace"  # root outside, `nobody` inside a user namespace
    NOBODY = "nobody"  # `nobody`, and may pass by file modes


def nobody() -> tuple[int, int]:
    """Give the uid and gid of an account that is not root: initdb wants one that has a name."""
    accounts = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    entry = next(
        (entry for entry in accounts if entry.pw_name == "nobody"), accounts[0] if accounts else None
    )
    return (entry.pw_uid, entry.pw_gid) if entry else (65534, 65534)


def child_setup(identity: Identity, death_signal: signal.Signals) -> Callable[[], None]:
    """What a child runs between fork and exec: identity first, for a change of it clears the death signal."""
    parent = os.getpid()
    uid, gid = nobody() if identity is not Identity.SAME else (0, 0)

    def setup() -> None:
        if identity is Identity.NAMESPACE:
            _enter_namespace(uid, gid)
        elif identity is Identity.NOBODY:
            _become_nobody(uid, gid)
        _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(EXIT_PARENT_GONE)

    return setup


def _enter_namespace(uid: int, gid: int) -> None:
    if _libc.unshare(_CLONE_NEWUSER):
        os._exit(EXIT_NO_NAMESPACE)
    for name, value in (("setgroups", "deny"), ("uid_map", f"{uid} 0 1"), ("gid_map", f"{gid} 0 1")):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(descriptor, value.encode())
        os.close(descriptor)


def _become_nobody(uid: int, gid: int) -> None:
    """Drop root for good, but keep CAP_DAC_OVERRIDE across exec: the data lies below folders of mode 0700."""
    _libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    bit = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAP_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    failed = _libc.capset(header, data)
    if failed or _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0):
        os._exit(EXIT_NO_CAPABILITY)


def server_identity(postgres: Path) -> Identity:
    """Find who may run Postgres here, by trying."""
    if os.geteuid() != 0:
        return Identity.SAME
    trial = subprocess.run(
        [postgres, "--version"],
        preexec_fn=child_setup(Identity.NAMESPACE, signal.SIGKILL),
        capture_output=True,
        check=False,
    )
    return Identity.NAMESPACE if trial.returncode == 0 else Identity.NOBODY


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies: leftovers can be found and ended."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@dataclass(frozen=True)
class ProcessInfo:
    """One line of /proc."""

    pid: int
    ppid: int
    state: str

    @property
    def ended(self) -> bool:
        """A zombie: it runs nothing, and only its parent can take it away."""
        return self.state == "Z"


def processes() -> Iterator[ProcessInfo]:
    """All processes that can be seen."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            state, ppid = stat.rpartition(")")[2].split()[:2]  # the name before it may hold anything
            yield ProcessInfo(int(entry.name), int(ppid), state)


def environment_of(pid: int) -> Mapping[str, str]:
    """The variables a process was started with; empty when they cannot be read."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (item.partition("=") for item in raw.decode(errors="replace").split("\0"))
    return {name: value for name, _, value in pairs if name}


def send(pid: int, signum: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return


def send_group(pid: int, signum: signal.Signals) -> None:
    """Send a signal to the whole group that `pid` leads; it may be gone."""
    try:
        os.killpg(pid, signum)
    except ProcessLookupError:
        return


def reap(pid: int) -> None:
    """Take away an ended child that nobody else waits for."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return
