"""Starting processes that cannot outlive the play, and proving that none did.

Rules of this file:

- Every process carries the play's mark in its environment, and so do all that it starts. Who overwrites its
  environment (Postgres) is told by its working directory, and who is given another one (a run of the bridge) by
  where its token is.
- Each leads its own session: Ctrl-C reaches the play alone, which ends them in order. When the play is killed, the
  kernel tells them. That signal comes when the *thread* that started them ends: start from the main thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MARK = "WAKEBRIDGE_DEMO"
RUN, TOKEN = "BRIDGE_RUN_ID", "BRIDGE_TOKEN_FILE"
"""What the bridge marks the processes of a run with."""
ASK_EVERY_S = 0.05
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@dataclass
class Troupe:
    """All processes of one play, which is known by its data folder."""

    data: Path
    environment: Mapping[str, str]
    run_dir: Path | None = None
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, argv: Sequence[str], *, log: Path | None = None, terminal: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start one: its output goes to `log`, or it sits at a terminal of its own."""
        environment = {**self.environment, MARK: str(self.data)}
        setup = _setup(os.getpid(), terminal)
        if terminal is not None or log is None:
            process = subprocess.Popen(argv, env=environment, start_new_session=True, preexec_fn=setup)  # noqa: PLW1509, S603
        else:
            with log.open("ab") as out:
                process = subprocess.Popen(  # noqa: S603  our own commands
                    argv,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=setup,  # noqa: PLW1509  before any thread is started, and it only makes two calls
                )
        self.started.append(process)
        return process

    def tell(self, process: subprocess.Popen[bytes], signum: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        process.send_signal(signum)

    def wait(self, process: subprocess.Popen[bytes], within_s: float) -> bool:
        """Wait until it has ended; killed, with its group, when it does not. Whether it ended by itself."""
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            _kill_group(process.pid)
            process.wait()
            return False
        return True

    def left(self) -> list[str]:
        """What still runs of this play, in words; those that only wait to be buried are not counted."""
        return [
            f"{entry.name} {_command(entry)}"
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and int(entry.name) != os.getpid() and self._ours(entry)
            if not _zombie(entry)
        ]

    def gone(self, within_s: float) -> list[str]:
        """Wait until nothing is left; what is left all the same is given, and killed."""
        ends = time.monotonic() + within_s
        while (left := self.left()) and time.monotonic() < ends:
            time.sleep(ASK_EVERY_S)
        for line in left:
            _kill(int(line.split(" ", maxsplit=1)[0]))
        return left

    def _ours(self, entry: Path) -> bool:
        try:
            environment = _environment(entry)
            if environment.get(MARK) == str(self.data):
                return True
            if self.run_dir and environment.get(TOKEN, "").startswith(f"{self.run_dir}/"):
                return True
            return str((entry / "cwd").readlink()).startswith(f"{self.data}/")
        except OSError:
            return False


def of_run(run_id: str) -> list[int]:
    """The processes of one run that live, found by the bridge's mark, whoever started them."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _marked(entry, run_id) and not _zombie(entry)
    ]


def _marked(entry: Path, run_id: str) -> bool:
    try:
        return _environment(entry).get(RUN) == run_id
    except OSError:
        return False


def _environment(entry: Path) -> dict[str, str]:
    pairs = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def _setup(parent: int, terminal: int | None) -> Callable[[], None]:
    def setup() -> None:
        if terminal is not None:
            os.login_tty(terminal)
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return setup


def _zombie(entry: Path) -> bool:
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (OSError, IndexError):
        return True


def _command(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "?"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
