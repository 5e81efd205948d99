"""What a running stack leaves in its data directory for others: the lock, and stack.json.

- `stack.lock` is held (flock) as long as the manager lives, however it ends; it names the holder.
- `stack.json` is there once the stack is ready, readable by its owner alone, and replaced as a whole.
"""

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path

from bridge.core.errors import Conflict

LOCK_NAME = "stack.lock"


class AlreadyRunning(Conflict):
    """Another stack runs on this data."""


@dataclass(frozen=True)
class Holder:
    """Who holds the lock; pid 0 while it has not said so yet."""

    pid: int
    url: str


class StackLock:
    """The right to run the stack on a data directory. Ends with the process, or with `release`."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / LOCK_NAME
        self._descriptor: int | None = None

    def take(self, url: str) -> None:
        """Take it and leave word of it; refuse with the name of the holder when it is taken."""
        if not self.try_take():
            holder = self.holder()
            msg = (
                f"a stack already runs on {self._file.parent}: pid {holder.pid}, {holder.url} "
                f"(stop it with: bridge down --data {self._file.parent})"
            )
            raise AlreadyRunning(msg, pid=holder.pid, url=holder.url)
        assert self._descriptor is not None  # noqa: S101 - just taken
        word = json.dumps({"pid": os.getpid(), "url": url}).encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, word, 0)

    def try_take(self) -> bool:
        """Take it if nobody has it."""
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def holder(self) -> Holder:
        """What the holder, or the last one, wrote."""
        try:
            said = json.loads(self._file.read_text(encoding="utf-8"))
            return Holder(int(said["pid"]), str(said["url"]))
        except (OSError, ValueError, KeyError):
            return Holder(0, "(still starting)")

    def release(self) -> None:
        """Give it back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def write_private(file: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file as a whole; nobody ever sees half of it, or more of it than `mode` allows."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(descriptor)
    fresh.replace(file)
