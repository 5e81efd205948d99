"""What all hands of a history share, and how likely each trouble is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from bridge.core.errors import BridgeError
from bridge.core.policy import Policy
from bridge.simulation.checks import Watch
from bridge.simulation.engine import Dice, Engine, Park, Steps
from bridge.simulation.processes import Shim, ShimMaker
from bridge.simulation.store import Store
from bridge.simulation.terminal import Terminal
from bridge.simulation.threads import Shell


@dataclass(slots=True)
class Trouble:
    """All of it ends when the world calms down."""

    kill: float = 0.0
    freeze: float = 0.0
    lose_ring: float = 0.0
    double_ring: float = 0.0
    delay_ring: float = 0.0
    broker_up: bool = True


class Runtimes(Protocol):
    """What lives outside of the bridge."""

    def terminal(self, session_id: str) -> Terminal | None:
        """The process that holds the session now."""
        ...

    def all_terminals(self) -> dict[str, Terminal]:
        """By session; also those that ended."""
        ...

    def script_lives(self, session_id: str) -> bool:
        """Whether a program without a terminal is there."""
        ...

    def worker_died(self, host: str) -> None:
        """Its links end with it."""
        ...

    def program(self, shim: Shim) -> Steps[None]:
        """What the process of a run does."""
        ...


@dataclass(slots=True)
class Site:
    """The one place where everything meets."""

    engine: Engine
    store: Store
    shell: Shell
    policy: Policy
    rng: Dice
    watch: Watch
    trouble: Trouble
    shim: ShimMaker = Shim
    runtimes: Runtimes = field(init=False)
    meddle: Callable[[str], None] = field(init=False)  # somebody does something to an agent, just now
    frozen: dict[str, list[Park]] = field(default_factory=dict)
    living: dict[str, Shim] = field(default_factory=dict)  # the processes that really run, by run

    def program(self, shim: Shim) -> Steps[None]:
        """What the process of a run does."""
        return self.runtimes.program(shim)


def calmly(steps: Steps[object]) -> Steps[None]:
    """What is refused is somebody's own affair."""
    try:
        yield from steps
    except BridgeError:
        return
