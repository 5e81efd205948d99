"""Many histories: run on all cores, summed up, stopped at the first broken rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from bridge.core.states import WakeState
from bridge.core.wake import TRANSITIONS, Handled
from bridge.simulation.world import History, play

CHUNK = 20
Cell = tuple[WakeState, type[Any]]


@dataclass
class Report:
    """What many histories were made of."""

    histories: int = 0
    virtual_s: float = 0.0
    steps: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    cells: Counter[Cell] = field(default_factory=Counter)
    broken: History | None = None

    def add(self, history: History) -> None:
        """One more; the broken one with the lowest seed is kept."""
        self.histories += 1
        self.virtual_s += history.virtual_s
        self.steps += history.steps
        self.counts += history.counts
        self.cells += history.cells
        if history.broken and (self.broken is None or history.seed < self.broken.seed):
            self.broken = history

    def never_exercised(self) -> list[str]:
        """Handled pairs of the wake's table that no history came by."""
        return [
            f"{state} x {event.__name__}"
            for (state, event), cell in TRANSITIONS.items()
            if isinstance(cell, Handled) and not self.cells[state, event]
        ]

    def data(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "histories": self.histories,
            "virtual_s": round(self.virtual_s),
            "steps": self.steps,
            "counts": dict(sorted(self.counts.items())),
            "cells": {
                f"{state} x {event.__name__}": n
                for (state, event), n in sorted(self.cells.items(), key=_name)
            },
            "never_exercised": self.never_exercised(),
            "broken": self._broken(),
        }

    def _broken(self) -> dict[str, Any] | None:
        if self.broken is None or self.broken.broken is None:
            return None
        rule = self.broken.broken
        return {"seed": self.broken.seed, "rule": rule.rule, "detail": rule.detail}


def play_many(seeds: Sequence[int], jobs: int) -> Iterator[History]:
    """Every history, in order of the seeds, on so many cores."""
    if jobs <= 1 or len(seeds) <= CHUNK:
        yield from map(play, seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("forkserver")) as pool:
        yield from pool.map(play, seeds, chunksize=CHUNK)


def _name(item: tuple[Cell, int]) -> str:
    (state, event), _ = item
    return f"{state} {event.__name__}"
