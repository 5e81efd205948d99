"""Runs: processes that the bridge starts on this host, and how it is told what becomes of them.

Rules of this file:

- A run that was started ends exactly once: `RunWatcher.ended` is called when none of its processes lives.
- What a run does is told in order, `started`, `proved`, `ended`, and told again until it is taken.
- `start` says only that the run is being watched; what fails afterwards is an end like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from bridge.core.states import Rung, SessionFound

# A run whose host's term was not renewed for this long is ended by its own shim.
FENCE_S: Final = 15.0

EXITED: Final = "exited"  # by itself, with status 0
CRASHED: Final = "crashed"  # by itself, with another status, or it could not be started
KILLED: Final = "killed"  # by us, for the reason told
LOST: Final = "lost"  # what watched it was killed; how it would have ended is not known
RESULTS: Final = frozenset({EXITED, CRASHED, KILLED, LOST})


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What to start. `native_id` is the program's own name of its session: the known one, or our choice."""

    run_id: str
    workspace_id: str
    agent_id: str
    session_id: str
    native_id: str
    rung: Rung  # RESUME or SPAWN
    preset: str
    prompt: str
    token: str = field(repr=False)
    kill_after_s: float
    kill_grace_s: float
    cwd: str | None = None  # the session's, where it is known; else the preset's
    start_by: float | None = None  # `Runs.start_by` of the moment at which it was decided


class RunWatcher(Protocol):
    """Who is told. Called from one thread, in order; it may be slow. On a BridgeError it is told again."""

    def started(self, spec: RunSpec, *, boot_id: str, shim_pid: int, pid: int, pid_started: int) -> None:
        """The agent's process is there. `pid_started` is its start in clock ticks after boot."""
        ...

    def proved(self, spec: RunSpec, native_id: str) -> None:
        """The program said which session it is, and it is the right one."""
        ...

    def ended(
        self,
        spec: RunSpec,
        *,
        status: int | None,
        result: str,
        why: str,
        found: SessionFound | None = None,
    ) -> None:
        """Nothing of the run lives. `status`: exit code, -N for signal N, None where it is not known.

        `found`: why the program could not go on with the session, where it said so.
        """
        ...


class Credentials(Protocol):
    """Where a run's next token comes from."""

    def issue(self, workspace_id: str, agent_id: str, session_id: str) -> str:
        """A token for that agent, of 15 min at most. Raises Unavailable, Forbidden."""
        ...


class Runs(Protocol):
    """The runs of this host's worker. Every method may be called from any thread."""

    def presets(self) -> dict[str, list[str]]:
        """The presets that can start something here, and on which rungs."""
        ...

    def start_by(self) -> float:
        """Until when, on the machine's boot clock, what is decided now may be started.

        A worker that stood still in between finds its term renewed when it goes on: by then others may have gone on.
        """
        ...

    def start(self, spec: RunSpec) -> None:
        """Start the run and return when it is watched, within 3 s.

        Raises InvalidArgument for what can never start here, Unavailable for what cannot now.
        """
        ...

    def end(self, run_id: str, why: str, grace_s: float) -> None:
        """End the run: TERM, and KILL after the grace. Again, or of an unknown run: nothing happens."""
        ...

    def renew(self) -> None:
        """The host's term was renewed just now: every run may go on for FENCE_S."""
        ...

    def refuse(self, run_id: str) -> bool:
        """A run that was given up is not started any more; False when it is held already."""
        ...

    def held(self) -> set[str]:
        """The ids of the runs whose end was not taken yet."""
        ...

    def sweep(self, keep: set[str]) -> set[str]:
        """Kill what lives of this host's runs that are neither held nor in `keep`; the ids that were found."""
        ...

    def close(self, grace_s: float) -> None:
        """End every run, tell of it, and start none any more."""
        ...
