"""`make bench`: the timed promises, measured on this machine; the figures go to docs/reports/bench.md."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks import broker, dormant, lateness, posts
from tests.benchmarks.world import world
from tests.chaos.report import header

REPORT = Path(__file__).resolve().parents[2] / "docs" / "reports" / "bench.md"
PARTS = {"posts": posts.measure, "broker": broker.measure, "lateness": lateness.measure}
ALONE = {"dormant": dormant.measure}
"""Parts with a stack of their own."""


def main() -> int:
    """Measure; 0 whatever the figures are: they are told, not judged."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [*PARTS, *ALONE]
    parser.add_argument("--only", nargs="*", default=names, choices=names)
    parser.add_argument("--agents", type=int, default=40)
    parser.add_argument("--dormant", type=int, default=dormant.AGENTS)
    parser.add_argument("--no-report", action="store_true")
    asked = parser.parse_args()
    lines: list[str] = []

    def say(words: str) -> None:
        lines.append(words)
        print(words, file=sys.stderr, flush=True)

    found: dict[str, Any] = {}
    together = [name for name in asked.only if name in PARTS]
    if together:
        with world(asked.agents) as here:
            for name in together:
                found[name] = PARTS[name](here, say)
    for name in asked.only:
        if name in ALONE:
            found[name] = ALONE[name](say, asked.dormant)
    print(json.dumps(found, indent=2))
    if not asked.no_report:
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        story = "\n".join(f"- {line}" for line in lines)
        REPORT.write_text(f"{header('Benchmarks')}\n{story}\n\n```json\n{json.dumps(found, indent=2)}\n```\n")
    return 0


sys.exit(main())
