"""Who is on a host: a runtime that dialled in, and what decides whether it may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Registered:
    """A session that a runtime on this host holds, under a term."""

    workspace_id: str
    agent_id: str
    session_id: str
    term: int
    preset: str | None = None


@dataclass(frozen=True, slots=True)
class HeldSession:
    """A session that some runtime holds, says the database."""

    workspace_id: str
    session_id: str
    agent_id: str
    term: int


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that has not ended, says the database: where its processes are, and whether it is to end."""

    run_id: str
    workspace_id: str
    host: str
    worker: str
    boot_id: str | None
    shim_pid: int | None
    pid: int | None
    pid_started: int | None
    end_asked: bool
    why: str


@dataclass(frozen=True, slots=True)
class Waiter:
    """A wake that waits for a slot."""

    workspace_id: str
    wake_id: str


class Registrar(Protocol):
    """Lets runtimes in, and hears what becomes of them. Slow: it asks the database."""

    def register(
        self, token: str, session_id: str, pid: int, preset: object, runtime: str, agent_pid: int
    ) -> Registered:
        """The session is held from now on, by a program of this preset. Raises BridgeError when it may not be.

        `pid` is who answers for it, `agent_pid` a process that stands where the program does (it may be the same).
        """
        ...

    def still_valid(self, token: str, registered: Registered) -> bool:
        """Whether the session may go on being held with this token."""
        ...

    def gone(self, registered: Registered, why: str) -> None:
        """The runtime let go, or its connection ended."""
        ...

    def became(self, registered: Registered, event: str) -> None:
        """The runtime says what its session does: ready, busy, human."""
        ...

    def named(self, registered: Registered, native_id: str) -> None:
        """The runtime says what the program calls its session."""
        ...

    def accepted(self, registered: Registered, key: str, by: str) -> None:
        """A line that the runtime could not vouch for has been seen taken since, and what showed it."""
        ...
