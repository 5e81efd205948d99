"""`make sim`, `python -m bridge.simulation`: play seeded histories; exit 1 with seed and trace at a broken rule."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bridge.simulation.report import Report, play_many
from bridge.simulation.world import play

TRACE_LINES = 60
SEEDS = 2**31


def main(argv: Sequence[str] | None = None) -> int:
    """Play, show, and say by the exit status whether every rule held."""
    asked = _parse(argv)
    seed = secrets.randbelow(SEEDS) if asked.seed is None else asked.seed
    out = Console(stderr=asked.json, highlight=False)
    out.print(f"{asked.histories} histories from seed {seed}")
    report, elapsed_s = _run(range(seed, seed + asked.histories), asked.jobs, out)
    if asked.json:
        sys.stdout.write(json.dumps({"seed": seed, "elapsed_s": elapsed_s, **report.data()}, indent=1) + "\n")
    else:
        _show(report, elapsed_s, out)
    if report.broken is not None:
        _explain(report.broken.seed, out, whole=asked.trace)
        return 1
    if asked.trace:
        _explain(seed, out, whole=True)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bridge.simulation", description=__doc__)
    parser.add_argument("--histories", type=int, default=2000, metavar="N")
    parser.add_argument("--seed", type=int, help="the first one's; a fresh one when not given")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cores")
    parser.add_argument("--json", action="store_true", help="figures as JSON on stdout")
    parser.add_argument(
        "--trace", action="store_true", help="tell the whole first history, or the broken one"
    )
    return parser.parse_args(argv)


def _run(seeds: range, jobs: int, out: Console) -> tuple[Report, float]:
    report = Report()
    columns = (TextColumn("playing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out, disable=not out.is_terminal) as progress:
        task = progress.add_task("playing", total=len(seeds))
        for history in play_many(seeds, jobs):
            report.add(history)
            progress.advance(task)
            if report.broken is not None:
                break
        elapsed_s = progress.get_time() - (progress.tasks[0].start_time or 0.0)
    return report, round(elapsed_s, 2)


def _show(report: Report, elapsed_s: float, out: Console) -> None:
    hours = report.virtual_s / 3600
    out.print(f"{report.histories} histories, {hours:.1f} hours of virtual time, {elapsed_s:.1f} s")
    for name, count in sorted(report.counts.items()):
        out.print(f"{count:10d}  {name}")
    missed = report.never_exercised()
    out.print(f"rules of the wake's table not exercised: {', '.join(missed) or 'none'}")
    out.print("every rule held" if report.broken is None else "")


def _explain(seed: int, out: Console, *, whole: bool) -> None:
    """Play it again, telling: the same seed is the same history."""
    history = play(seed, trace=True)
    for line in history.trace if whole else history.trace[-TRACE_LINES:]:
        out.print(line, markup=False)
    if history.broken is not None:
        out.print(f"\nBROKEN: {history.broken.rule}: {history.broken.detail}", markup=False)
        out.print(f"replay: make sim N=1 SEED={seed} ARGS=--trace")


if __name__ == "__main__":
    sys.exit(main())
