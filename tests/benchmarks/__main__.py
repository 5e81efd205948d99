"""`make bench`: the timed promises, measured on this machine; the figures go to docs/reports/bench.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks import audit, broker, burst, dormant, lateness, posts, revocation
from tests.benchmarks.world import world
from tests.chaos.report import write_report

REPORT = Path(__file__).resolve().parents[2] / "docs" / "reports" / "bench.md"
PARTS = {
    "posts": posts.measure,
    "broker": broker.measure,
    "lateness": lateness.measure,
    "burst": burst.measure,
}
ALONE: dict[str, Callable[[argparse.Namespace, Callable[[str], None]], dict[str, Any]]] = {
    "dormant": lambda asked, say: dormant.measure(say, asked.dormant),
    "audit": lambda _asked, say: audit.measure(say),
    "revocation": lambda _asked, say: revocation.measure(say),
}
"""Parts with servers of their own."""


class Part:
    """What was measured, in words and in figures."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.found: dict[str, Any] = {}

    def say(self, words: str) -> None:
        """Told at once, and kept."""
        self.lines.append(words)
        print(words, file=sys.stderr, flush=True)

    def text(self) -> str:
        """Its section of the report, without the title."""
        story = "\n".join(f"- {line}" for line in self.lines)
        return f"{story}\n\n```json\n{json.dumps(self.found, indent=2)}\n```\n"


def main() -> int:
    """Measure; 0 whatever the figures are: they are told, not judged."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [*PARTS, *ALONE]
    parser.add_argument("--only", nargs="*", default=names, choices=names)
    parser.add_argument("--agents", type=int, default=40)
    parser.add_argument("--dormant", type=int, default=dormant.AGENTS)
    parser.add_argument("--no-report", action="store_true")
    asked = parser.parse_args()
    told: dict[str, Part] = {name: Part() for name in asked.only}
    together = [name for name in asked.only if name in PARTS]
    if together:
        with world(asked.agents) as here:
            for name in together:
                told[name].found = PARTS[name](here, told[name].say)
    for name in asked.only:
        if name in ALONE:
            told[name].found = ALONE[name](asked, told[name].say)
    print(json.dumps({name: part.found for name, part in told.items()}, indent=2))
    if not asked.no_report:
        write_report(REPORT, "Benchmarks", {name: part.text() for name, part in told.items()})
    return 0


sys.exit(main())
