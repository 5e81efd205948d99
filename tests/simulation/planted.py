"""How a bug is planted: something in the place of something else, for as long as a history is played."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.core.policy import Policy
from bridge.core.states import WakeState
from bridge.core.wake import TRANSITIONS, Decision, Handled
from bridge.core.wake_events import Wake
from bridge.simulation.threads import Shell
from bridge.simulation.world import History, play

Ring = Callable[[list[tuple[str, str]]], None]
Rule = Callable[[Wake, Any, Policy, datetime], Decision]
Planted = Callable[[], AbstractContextManager[None]]
MUTANTS: dict[str, "Mutant"] = {}


@dataclass(frozen=True)
class Mutant:
    """A planted bug: another shell, or something put in the place of something else."""

    name: str
    shell: type[Shell] = Shell
    planted: Planted | None = None

    def play(self, seed: int) -> History:
        """One history with the bug in it."""
        if self.planted is None:
            return play(seed, self.shell)
        with self.planted():
            return play(seed, self.shell)


@contextmanager
def put(home: object, name: str, instead: object) -> Iterator[None]:
    """Put something in another's place for a while."""
    before = getattr(home, name)
    setattr(home, name, instead)
    try:
        yield
    finally:
        setattr(home, name, before)


@contextmanager
def rule(
    change: Callable[[Rule], Rule],
    *cells: tuple[WakeState, type[Any]],
    also: frozenset[WakeState] = frozenset(),
) -> Iterator[None]:
    """Change the rule in cells of the wake's table."""
    before = {cell: TRANSITIONS[cell] for cell in cells}
    for cell, old in before.items():
        assert isinstance(old, Handled)
        TRANSITIONS[cell] = Handled(change(old.rule), old.to | also)
    try:
        yield
    finally:
        TRANSITIONS.update(before)


@contextmanager
def both(*planted: AbstractContextManager[None]) -> Iterator[None]:
    """Several things at once."""
    with ExitStack() as stack:
        for one in planted:
            stack.enter_context(one)
        yield


def in_core(name: str, planted: Planted) -> None:
    MUTANTS[name] = Mutant(name, planted=planted)


def in_shell(name: str) -> Callable[[type[Shell]], type[Shell]]:
    def keep(shell: type[Shell]) -> type[Shell]:
        MUTANTS[name] = Mutant(name, shell=shell)
        return shell

    return keep


OPEN = (WakeState.PENDING, WakeState.DELIVERING, WakeState.TOUCHING, WakeState.WAITING)
S = WakeState
