"""Columns, ages and reasons as people read them. Times are the bridge's: `now` comes with each answer.

Ids and names of ours are printed as they are; whatever others wrote passes `bridge.core.quoting` first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bridge.core.errors import InvalidArgument
from bridge.core.quoting import harmless

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
WHY_CHARS_MAX = 300
TEXT_CHARS_MAX = 1_000_000
"""More than any message has."""
UNITS_S = {"s": 1, "m": MINUTE_S, "h": HOUR_S, "d": DAY_S}


def columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows under their heads, each column as wide as it needs; the last one as long as it is."""
    table = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(len(row[at]) for row in table) for at in range(len(heads) - 1)]
    return [
        "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in table
    ]


def counted(number: int, noun: str) -> str:
    """So many of them: `1 open finding`, `2 open findings`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def span(seconds: float) -> str:
    """A stretch of time: 0.4 s, 12 s, 3 min 5 s, 2 h 10 min, 3 days."""
    if abs(seconds) < 10:  # noqa: PLR2004  tenths are worth reading there, and nowhere else
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return _two(whole, MINUTE_S, "min", 1, "s")
    if whole < 2 * DAY_S:
        return _two(whole, HOUR_S, "h", MINUTE_S, "min")
    return f"{whole // DAY_S} days"


def seconds(text: str, name: str) -> int:
    """A span such as 90s, 30m, 1h or 90d; `name`: what asks for it. Raises InvalidArgument."""
    found = re.fullmatch(r"(\d{1,6})([smhd]?)", text)
    if found is None:
        raise InvalidArgument(f"{text!r} is no span: write 90s, 30m, 1h or 90d", path=name)
    return int(found[1]) * UNITS_S[found[2] or "s"]


def _two(whole: int, unit_s: int, unit: str, less_s: int, less: str) -> str:
    rest = whole % unit_s // less_s
    return f"{whole // unit_s} {unit}" + (f" {rest} {less}" if rest else "")


def seconds_between(earlier: str, later: str) -> float:
    """From one of the API's times to another."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def ago(at: str, now: str) -> str:
    """How long ago it was: `3 min ago`."""
    return f"{span(max(0.0, seconds_between(at, now)))} ago"


def ahead(at: str, now: str) -> str:
    """How long until then: `in 12 s`; `now` when it is due."""
    seconds = seconds_between(now, at)
    return f"in {span(seconds)}" if seconds > 0 else "now"


def clock(at: str) -> str:
    """A time of day, with its day: `2026-01-31 12:00:05 UTC`."""
    return f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M:%S} UTC"


def why(text: str | None) -> str:
    """A reason that somebody gave, on one line and harmless to a terminal."""
    return harmless(text or "", WHY_CHARS_MAX)


def said(text: str | None) -> list[str]:
    """A whole text that somebody wrote, line by line, harmless to a terminal; at least one line."""
    return [harmless(line, TEXT_CHARS_MAX) for line in (text or "").replace("\r\n", "\n").split("\n")]


def ended_words(run: dict[str, Any]) -> str:
    """How a run ended, and why: `crashed (exit status 3)`, `killed (signal 15): ended by olivia: it hangs`."""
    status = run["exit_status"]
    how = "" if status is None else f"signal {-status}" if status < 0 else f"exit status {status}"
    words = f"{run['result']} ({how})" if how else str(run["result"])
    return words if run["why"] in (None, "", how, run["result"]) else f"{words}: {why(run['why'])}"
