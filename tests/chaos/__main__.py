"""`make chaos`: every process killed in turn; the account goes to docs/reports/chaos.md."""

from __future__ import annotations

import argparse
import json
import random
import sys
from dataclasses import asdict
from pathlib import Path

from tests.chaos.report import header
from tests.chaos.run import PROCESSES, chaos

REPORT = Path(__file__).resolve().parents[2] / "docs" / "reports" / "chaos.md"


def main() -> int:
    """Run it; 1 when a promise did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", nargs="*", default=list(PROCESSES), choices=PROCESSES)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-report", action="store_true")
    asked = parser.parse_args()
    lines: list[str] = []

    def say(words: str) -> None:
        lines.append(words)
        print(words, file=sys.stderr, flush=True)

    say(f"seed {asked.seed}")
    account = chaos(asked.only, seed=asked.seed, say=say)
    summary = asdict(account)
    print(json.dumps(summary, indent=None if asked.json else 2))
    if not asked.no_report:
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        story = "\n".join(f"- {line}" for line in lines)
        body = f"{header('Chaos')}\n{story}\n\n```json\n{json.dumps(summary, indent=2)}\n```\n"
        REPORT.write_text(body)
    return 1 if account.broken else 0


sys.exit(main())
