"""`make audit-deps`: which locked packages have known vulnerabilities, and of which nobody could be asked.

Rules of this file:

- pip-audit asks; this says what its answer is worth. Where its service does not know a package, or does not answer, it
  passes over that without failing: a silent "no vulnerability" would be a lie.
- A vulnerability fails. A network that is not there does not: what was not asked is listed as not asked.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")
TIMEOUT_S = 600


def ask(pip_audit: str, lock: Path) -> dict[str, Any] | str:
    """pip-audit's report on a lock, or why there is none."""
    argv = [pip_audit, "--requirement", str(lock), "--require-hashes", "--disable-pip", "--format", "json"]
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    try:
        report: dict[str, Any] = json.loads(said.stdout)
    except ValueError:
        return (said.stderr.strip() or f"status {said.returncode}").splitlines()[-1]
    return report


def judge(lock: str, report: Mapping[str, Any] | str) -> tuple[list[str], bool]:
    """What there is to say of a lock, and whether a vulnerability is known."""
    if isinstance(report, str):
        return [f"{lock}: SKIPPED, nothing was asked: {report}"], False
    packages = report["dependencies"]
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    known = [(one, vulnerability) for one in packages for vulnerability in one.get("vulns", [])]
    lines = [
        f"{lock}: {one['name']} {one['version']}: {what['id']}, mended in "
        f"{', '.join(what.get('fix_versions') or ['no version yet'])}"
        for one, what in known
    ]
    lines.append(
        f"{lock}: {len(packages) - len(skipped)} of {len(packages)} packages asked about, "
        f"{len(known)} known vulnerabilities"
    )
    if skipped:
        shown = ", ".join(skipped[:5]) + (", ..." if len(skipped) > 5 else "")
        lines.append(f"{lock}: SKIPPED, the service knows nothing of {len(skipped)}: {shown}")
    return lines, bool(known)


def main(argv: Sequence[str]) -> int:
    """Ask about each lock; 1 when a vulnerability is known."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pip_audit", help="the pip-audit program")
    program = parser.parse_args(argv).pip_audit
    failed = False
    for lock in LOCKS:
        lines, bad = judge(lock, ask(program, ROOT / lock))
        print("\n".join(lines))
        failed = failed or bad
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
