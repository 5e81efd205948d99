"""`make chaos`: every process killed in turn, then runs in the middle; the account goes to docs/reports/chaos.md."""

from __future__ import annotations

import argparse
import json
import random
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.chaos.report import header
from tests.chaos.run import PROCESSES, chaos
from tests.chaos.runs import chaos_runs, summary

REPORT = Path(__file__).resolve().parents[2] / "docs" / "reports" / "chaos.md"


class Story:
    """One part's lines and figures, as they are said and as they stand in the report."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.lines: list[str] = []
        self.account: dict[str, Any] = {}

    def say(self, words: str) -> None:
        """Told at once, and kept."""
        self.lines.append(words)
        print(words, file=sys.stderr, flush=True)

    def text(self) -> str:
        """Its section of the report."""
        story = "\n".join(f"- {line}" for line in self.lines)
        return f"## {self.title}\n\n{story}\n\n```json\n{json.dumps(self.account, indent=2)}\n```\n"


def main() -> int:
    """Run it; 1 when a promise did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", nargs="*", default=list(PROCESSES), choices=PROCESSES)
    parser.add_argument("--runs-only", action="store_true", help="leave out the first part")
    parser.add_argument("--kills", type=int, default=50, help="of the second part; 0 leaves it out")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-report", action="store_true")
    asked = parser.parse_args()
    stories: list[Story] = []
    if not asked.runs_only:
        stories.append(processes := Story("Every process, under load"))
        processes.say(f"seed {asked.seed}")
        processes.account = asdict(chaos(asked.only, seed=asked.seed, say=processes.say))
    if asked.kills:
        stories.append(runs := Story("Runs, in the middle of a resume"))
        runs.say(f"seed {asked.seed}")
        runs.account = summary(chaos_runs(asked.kills, seed=asked.seed, say=runs.say))
    print(json.dumps({story.title: story.account for story in stories}, indent=None if asked.json else 2))
    if not asked.no_report:
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text("\n".join([header("Chaos"), *(story.text() for story in stories)]))
    return 1 if any(story.account["broken"] for story in stories) else 0


sys.exit(main())
