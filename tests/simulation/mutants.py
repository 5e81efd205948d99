"""Planted bugs: each is a way in which the bridge could be wrong, and each must be caught by a checker.

`python -m tests.simulation.mutants` hunts afresh and shows what caught which; `--record` keeps the seeds that CI
replays (`seeds.json`). A mutant replaces one rule of the core, or one step of the simulated shell; nobody else may.
"""

import argparse
import json
import secrets
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from bridge.simulation.world import play
from tests.simulation import run_mutants, wake_mutants
from tests.simulation.planted import MUTANTS

__all__ = ["HUNT", "MUTANTS", "SEEDS", "hunt", "run_mutants", "wake_mutants"]

SEEDS = Path(__file__).with_name("seeds.json")
HUNT = 1000


@dataclass(frozen=True)
class Caught:
    """What caught a mutant, if anything did."""

    name: str
    seed: int | None
    tried: int
    broken: str
    seconds: float


def hunt(name: str, first: int, count: int) -> Caught:
    """The first seed that catches it."""
    began = time.perf_counter()
    for seed in range(first, first + count):
        history = MUTANTS[name].play(seed)
        if history.broken is not None and play(seed).broken is None:  # the bug's doing, nobody else's
            return Caught(name, seed, seed - first + 1, history.broken.rule, time.perf_counter() - began)
    return Caught(name, None, count, "", time.perf_counter() - began)


def main(argv: Sequence[str] | None = None) -> int:
    """Hunt all, or those named; 1 when one got away."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants; all of them when none is given")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="the first")
    parser.add_argument("--seeds", type=int, default=HUNT, help="how many for each")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--record", action="store_true", help=f"keep what was found in {SEEDS.name}")
    asked = parser.parse_args(argv)
    names = asked.names or list(MUTANTS)
    print(f"{len(names)} mutants, {asked.seeds} seeds each, from {asked.seed}")
    print(f"{'mutant':58} {'tried':>6} {'seed':>11} {'s':>6}  caught by")
    found: dict[str, Caught] = {}
    with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool:
        counts = [asked.seeds] * len(names)
        for caught in pool.map(hunt, names, [asked.seed] * len(names), counts):
            found[caught.name] = caught
            seed = "got away" if caught.seed is None else str(caught.seed)
            row = f"{caught.name:58} {caught.tried:6} {seed:>11} {caught.seconds:6.1f}  {caught.broken}"
            print(row, flush=True)
    away = [name for name, caught in found.items() if caught.seed is None]
    if asked.record and not away:
        kept = json.loads(SEEDS.read_text()) if SEEDS.exists() else {}
        kept |= {name: {"seed": it.seed, "rule": it.broken} for name, it in found.items()}
        SEEDS.write_text(json.dumps({name: kept[name] for name in MUTANTS if name in kept}, indent=1) + "\n")
    return 1 if away else 0


if __name__ == "__main__":
    sys.exit(main())
