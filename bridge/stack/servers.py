"""The embedded servers alone: both for tests and benches, Postgres for a backup while no stack runs.

Started in a `with`, gone after it, and gone with the process that started them even when that is killed.
`bridge up` does not use this: it has its own supervision.
"""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.config import (
    Settings,
    default_run_dir,
    embedded_broker_url,
    embedded_database_url,
    inherited_environment,
)
from bridge.stack.embedded import Server, ServerFailed, prepare, private_dir, server_environment
from bridge.stack.probes import postgres_answers, valkey_answers
from bridge.stack.process import STACK_MARK, child_setup, send_group
from bridge.stack.record import StackLock

START_TIMEOUT_S = 30.0
STOP_GRACE_S = 10.0
POLL_S = 0.03


class EmbeddedServers:
    """Postgres and Valkey on `data_dir`, to be started from the main thread: they die with that thread."""

    def __init__(self, data_dir: Path, run_dir: Path | None = None) -> None:
        data_dir = data_dir.absolute()
        self.settings = Settings(data_dir=data_dir, run_dir=run_dir or default_run_dir(data_dir))
        self.database_url = embedded_database_url(self.settings.run_dir)
        self.broker_url = embedded_broker_url(self.settings.run_dir)
        self._servers: dict[str, Server] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start both and return when both answer."""
        private_dir(self.settings.data_dir)
        private_dir(self.settings.run_dir)
        try:
            for name in ("postgres", "broker"):
                self.start_one(name)
            for name in ("postgres", "broker"):
                self.wait_for(name)
        except BaseException:
            self.stop()
            raise

    def start_one(self, name: str) -> None:
        """Start one of them, again if it was killed; `wait_for` tells when it answers."""
        server = self._servers[name] = prepare(name, self.settings)
        marked = server_environment(inherited_environment()) | {STACK_MARK: str(self.settings.data_dir)}
        with self.log_file(name).open("ab") as log:
            self._children[name] = subprocess.Popen(
                server.argv,
                env=marked,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=child_setup(server.identity, server.death_signal),  # noqa: PLW1509
            )

    def wait_for(self, name: str, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when the server answers; fail with the end of its log when it ends or never does."""
        answers: Callable[[Path], bool] = postgres_answers if name == "postgres" else valkey_answers
        deadline = time.monotonic() + timeout_s
        while not answers(self._servers[name].socket):
            if self._children[name].poll() is not None or time.monotonic() > deadline:
                tail = self.log_file(name).read_text(encoding="utf-8", errors="replace")[-1000:]
                msg = f"{name} did not start: {tail.strip()}"
                raise ServerFailed(msg)
            time.sleep(POLL_S)

    def signal(self, name: str, signum: signal.Signals) -> None:
        """Send a signal to one server: SIGKILL, SIGSTOP, SIGCONT in tests of what must survive it."""
        self._children[name].send_signal(signum)
        if signum == signal.SIGKILL:
            self._children[name].wait()

    def pid(self, name: str) -> int:
        """The process id of one server."""
        return self._children[name].pid

    def log_file(self, name: str) -> Path:
        """Where one server's output goes."""
        return self.settings.data_dir / f"{name}.log"

    def stop(self) -> None:
        """Stop both; nothing of them is left."""
        for name, child in reversed(self._children.items()):
            if child.poll() is None:
                child.send_signal(self._servers[name].stop_signal)
                child.send_signal(signal.SIGCONT)
                try:
                    child.wait(STOP_GRACE_S)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
            send_group(child.pid, signal.SIGKILL)
        self._children.clear()
        with contextlib.suppress(OSError):  # never made, or not ours alone
            self.settings.run_dir.rmdir()


@contextmanager
def embedded_servers(data_dir: Path) -> Iterator[EmbeddedServers]:
    """Postgres and Valkey for the length of a `with`: `.database_url` and `.broker_url` are theirs."""
    servers = EmbeddedServers(data_dir)
    servers.start()
    try:
        yield servers
    finally:
        servers.stop()


@contextmanager
def postgres_alone(settings: Settings) -> Iterator[str]:
    """The stack's own Postgres, and no stack on its data meanwhile: its address. Raises AlreadyRunning."""
    private_dir(settings.data_dir)
    lock = StackLock(settings.data_dir)
    lock.take("a backup or a restore")
    servers = EmbeddedServers(settings.data_dir, settings.run_dir)
    try:
        private_dir(settings.run_dir)
        servers.start_one("postgres")
        servers.wait_for("postgres")
        yield servers.database_url
    finally:
        servers.stop()
        lock.release()
