"""`make chaos`: every process killed in turn, then runs in the middle, then a host
cut off; the account goes to docs/reports/chaos.md.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.chaos.hosts import Size, chaos_hosts
from tests.chaos.report import write_report
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
        """Its section of the report, without the title."""
        story = "\n".join(f"- {line}" for line in self.lines)
        return f"{story}\n\n```json\n{json.dumps(self.account, indent=2)}\n```\n"


def main() -> int:
    """Run it; 1 when a promise did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", nargs="*", default=list(PROCESSES), choices=PROCESSES)
    parser.add_argument("--runs-only", action="store_true", help="leave out the first part")
    parser.add_argument("--kills", type=int, default=50, help="of the second part; 0 leaves it out")
    parser.add_argument(
        "--hosts-only", action="store_true", help="only the third part: two hosts, one cut off"
    )
    parser.add_argument("--pairs", type=int, default=Size().pairs, help="interleaved pairs of the third part")
    parser.add_argument("--no-hosts", action="store_true", help="leave out the third part")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-report", action="store_true")
    asked = parser.parse_args()
    stories: list[Story] = []
    if not (asked.runs_only or asked.hosts_only):
        stories.append(processes := Story("Every process, under load"))
        processes.say(f"seed {asked.seed}")
        processes.account = asdict(chaos(asked.only, seed=asked.seed, say=processes.say))
    if asked.kills and not asked.hosts_only:
        stories.append(runs := Story("Runs, in the middle of a resume"))
        runs.say(f"seed {asked.seed}")
        runs.account = summary(chaos_runs(asked.kills, seed=asked.seed, say=runs.say))
    if not (asked.runs_only or asked.no_hosts):
        stories.append(hosts := Story("Two hosts, one of them cut off"))
        hosts.account = asdict(chaos_hosts(Size(pairs=asked.pairs), seed=asked.seed, say=hosts.say))
    print(json.dumps({story.title: story.account for story in stories}, indent=None if asked.json else 2))
    if not asked.no_report:
        write_report(REPORT, "Chaos", {story.title: story.text() for story in stories})
    return 1 if any(story.account["broken"] for story in stories) else 0


sys.exit(main())
