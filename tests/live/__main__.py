"""`make live N=100`: so many live wakes into codex and claude each, a human there; docs/reports/live.md is written."""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from pathlib import Path

from tests.agents.homes import missing
from tests.agents.offline import Offline, why_not
from tests.chaos.report import write_report
from tests.live.cells import CELLS
from tests.live.report import broken, sections
from tests.live.soak import soak

REPORT = Path(__file__).resolve().parents[2] / "docs" / "reports" / "live.md"


def main() -> int:
    """Run it; 1 when a promise did not hold, 2 when this machine cannot run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wakes", type=int, default=100, help="into each client")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--client", choices=sorted({cell.client for cell in CELLS}))
    parser.add_argument("--runtime", choices=sorted({cell.runtime for cell in CELLS}))
    parser.add_argument("--way", choices=sorted({cell.way for cell in CELLS}))
    parser.add_argument("--no-report", action="store_true")
    asked = parser.parse_args()
    refused = why_not() or missing()
    if refused:
        print(refused, file=sys.stderr)
        return 2
    cells = [
        cell
        for cell in CELLS
        if asked.client in (None, cell.client)
        and asked.runtime in (None, cell.runtime)
        and asked.way in (None, cell.way)
    ]
    began, lock = time.monotonic(), threading.Lock()

    def say(words: str) -> None:
        with lock:
            print(f"{time.monotonic() - began:6.1f} s  {words}", file=sys.stderr, flush=True)

    say(f"seed {asked.seed}")
    network = Offline()
    with network.inside():
        outcomes = soak(cells, asked.wakes, seed=asked.seed, say=say)
    network.close()
    told = sections(outcomes, seed=asked.seed, seconds=time.monotonic() - began)
    for title, text in told.items():
        print(f"## {title}\n\n{text}")
    if not asked.no_report:
        write_report(REPORT, "Live wakes", told)
    return 1 if broken(outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
