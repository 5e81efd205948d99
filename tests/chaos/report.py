"""The head of every report: machine, commit, command, date."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def header(title: str) -> str:
    """Where and when the figures below were taken, and how to take them again."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    rows = {
        "machine": f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, shared",
        "python": platform.python_version(),
        "commit": commit or "unknown",
        "command": "python -m " + " ".join(["tests." + Path(sys.argv[0]).parent.name, *sys.argv[1:]]),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),  # noqa: TID251  a report's date
    }
    return f"# {title}\n\n" + "\n".join(f"- {name}: {value}" for name, value in rows.items()) + "\n"
