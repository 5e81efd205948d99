"""The figures at the end, out of the API's own data: messages, wakes by outcome, and how long things took."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

READ = "acked"


@dataclass(frozen=True, slots=True)
class Spread:
    """How long something took, in seconds."""

    n: int
    p50_s: float
    p95_s: float
    max_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What the demo did, counted."""

    threads: int
    messages: int
    wakes: dict[str, int]
    attempts: int
    message_to_wake: Spread
    message_to_read: Spread

    def data(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def rows(self) -> list[str]:
        """As a person reads it."""
        outcomes = ", ".join(f"{count} {state}" for state, count in sorted(self.wakes.items()))
        return [
            f"messages         {self.messages} in {self.threads} threads",
            f"wakes            {sum(self.wakes.values())}: {outcomes}",
            f"attempts         {self.attempts}",
            f"message to wake  {_row(self.message_to_wake)}    until the terminal, or the new process, took it",
            f"message to read  {_row(self.message_to_read)}    until the reader's cursor was there",
            "                 (with everything that was made to wait: the human, the kills, the breaker)",
        ]


def figures(threads: Sequence[Mapping[str, Any]], stories: Sequence[Mapping[str, Any]]) -> Figures:
    """Count threads (as the API lists them) and the stories of all wakes (as it explains them)."""
    wakes = [story["wake"] for story in stories]
    accepted = [(story["wake"], _first_accepted(story)) for story in stories]
    return Figures(
        threads=len(threads),
        messages=sum(int(thread["last_seq"]) for thread in threads),
        wakes=dict(Counter(str(wake["state"]) for wake in wakes)),
        attempts=sum(len(story["attempts"]) for story in stories),
        message_to_wake=spread([seconds(wake["created_at"], at) for wake, at in accepted if at is not None]),
        message_to_read=spread(
            [seconds(wake["created_at"], wake["updated_at"]) for wake in wakes if wake["state"] == READ]
        ),
    )


def spread(values: Sequence[float]) -> Spread:
    """Their median and 95th percentile (nearest rank)."""
    ranked = sorted(values)
    return Spread(
        len(ranked), percentile(ranked, 0.50), percentile(ranked, 0.95), ranked[-1] if ranked else 0.0
    )


def percentile(ranked: Sequence[float], share: float) -> float:
    """The smallest of the sorted values that this share of them does not exceed; 0 of none."""
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)] if ranked else 0.0


def seconds(since: str, until: str) -> float:
    """Between two timestamps of the API."""
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()


def _first_accepted(story: Mapping[str, Any]) -> str | None:
    times = [str(attempt["accepted_at"]) for attempt in story["attempts"] if attempt.get("accepted_at")]
    return min(times, default=None)


def _row(spread_: Spread) -> str:
    return f"p50 {spread_.p50_s:5.2f} s   p95 {spread_.p95_s:5.2f} s   max {spread_.max_s:5.2f} s   n {spread_.n}"
