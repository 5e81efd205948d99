"""The session's heartbeat and its token: the one thread beside the relay, for everything that waits for HTTP.

Rules of this file:
- The relay never waits for it: a new status is a note left for the thread, a new token is a byte in a pipe.
- The token lives in a file of its own (0600, in a directory that only we can enter), always whole: written
  beside and renamed. It is gone when the session is.
- A bridge that does not answer is no reason to disturb the agent: the next beat tries again, and what went
  wrong is said when the agent has left the screen.
"""

import contextlib
import os
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

BEAT_S: Final = 15.0
CHANGE_S_MIN: Final = 1.0
FAREWELL_S_MAX: Final = 2.0
RUNTIME: Final = "pty"


class Status(StrEnum):
    """What the session says of itself."""

    ACTIVE = "active"
    IDLE = "idle"
    OFFLINE = "offline"


class SessionClient(Protocol):
    """What is needed of the bridge's client."""

    def token(self) -> str:
        """Return a token that is valid now, refreshed if need be."""

    def heartbeat(self, session_id: str, *, runtime: str, resumable: bool, status: str) -> object:
        """Tell the bridge that the session lives."""


class TokenFile:
    """The file that agents with nothing but a shell read their token from."""

    def __init__(self, directory: Path, pid: int) -> None:
        """Make the directory ours alone, and clear away what dead wrappers left."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
        if found.st_uid != os.getuid() or found.st_mode & 0o077:
            message = f"{directory} must belong to you alone (mode 0700)"
            raise PermissionError(message)
        for left in directory.glob("agent-*.*"):
            owner = left.name.removeprefix("agent-").split(".")[0]
            if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
                left.unlink(missing_ok=True)
        self.path = directory / f"agent-{pid}.token"

    def write(self, token: str) -> None:
        """Replace the token; a reader sees the old one or the new one."""
        beside = self.path.with_suffix(".token.new")
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(token)
        beside.rename(self.path)

    def remove(self) -> None:
        """Leave nothing behind."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".token.new").unlink(missing_ok=True)


class Heartbeat:
    """Beats every 15 s and when the status changes, and keeps the token fresh."""

    def __init__(
        self,
        client: SessionClient,
        session_id: str,
        file: TokenFile,
        runtime: str = RUNTIME,
        *,
        resumes: bool = False,
    ) -> None:
        """Fetch the first token: without one there is no session.

        `resumes`: the program can go on with a session of which it has told the name.
        """
        self._client = client
        self._runtime = runtime
        self._resumes, self._resumable = resumes, False
        self._session_id = session_id
        self._file = file
        self.failure: str | None = None
        self._wanted = Status.ACTIVE
        self._anew = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self.token = client.token()
        file.write(self.token)
        # Last: whoever asks again and again while the bridge is away is not to run out of descriptors.
        self.renewed, self._ring = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._over = False

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def set(self, status: Status) -> None:
        """Leave a note that the status is now this one."""
        with self._changed:
            if self._wanted is not Status.OFFLINE and status is not self._wanted:
                self._wanted = status
                self._changed.notify()

    def named(self) -> None:
        """The program has told what it calls its session."""
        if self._resumes and not self._resumable:
            with self._changed:
                self._resumable = self._anew = True
                self._changed.notify()

    def was_renewed(self) -> None:
        """Empty the pipe whose byte said that the token is new."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.renewed, 4096)

    def stop(self) -> None:
        """Say goodbye, for two seconds at most."""
        self.set(Status.OFFLINE)
        if self._thread.is_alive():
            self._thread.join(FAREWELL_S_MAX)
        self._file.remove()
        if not self._thread.is_alive() and not self._over:  # one that still speaks to the bridge may ring yet
            self._over = True
            os.close(self.renewed)
            os.close(self._ring)

    def _run(self) -> None:
        said: Status | None = None
        beat_at = 0.0
        while said is not Status.OFFLINE:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._anew or self._wanted is Status.OFFLINE or self._wanted is not said,  # noqa: B023
                    max(0.0, beat_at + BEAT_S - time.monotonic()),
                )
                if self._wanted is not Status.OFFLINE:
                    # An agent that flickers between busy and ready must not become a flood of requests.
                    left_s = beat_at + CHANGE_S_MIN - time.monotonic()
                    self._changed.wait_for(lambda: self._wanted is Status.OFFLINE, max(0.0, left_s))
                said, self._anew = self._wanted, False
            beat_at = time.monotonic()
            self._beat(said)

    def _beat(self, status: Status) -> None:
        try:
            self._client.heartbeat(
                self._session_id, runtime=self._runtime, resumable=self._resumable, status=status.value
            )
            token = self._client.token()
            if token != self.token and status is not Status.OFFLINE:
                self.token = token
                self._file.write(token)
                os.write(self._ring, b"t")
            self.failure = None
        except Exception as error:  # noqa: BLE001  a traceback here would be drawn over the human's screen
            self.failure = f"{type(error).__name__}: {error}"
