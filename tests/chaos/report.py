"""Reports: one section a part, each with its own head (machine, commit, command, date).

A part that was not run again keeps the section that it has.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def write_report(file: Path, title: str, sections: Mapping[str, str]) -> None:
    """Put these sections, each without its title, in place of those of the same titles."""
    there = file.read_text() if file.exists() else ""
    kept = dict(section.partition("\n")[::2] for section in there.split("\n## ")[1:])
    heads = {name: f"{name}\n\n{head()}\n{text}" for name, text in sections.items()}
    told = [*({name: f"{name}\n{text}" for name, text in kept.items()} | heads).values()]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"# {title}\n\n" + "\n".join(f"## {section.strip()}\n" for section in told))


def head() -> str:
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
    return "\n".join(f"- {name}: {value}" for name, value in rows.items()) + "\n"
