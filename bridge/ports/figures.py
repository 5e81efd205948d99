"""Figures of what was decided: noted in the transaction that stores it, counted once that has committed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Figure(StrEnum):
    """What is counted."""

    WAKE_ACKED = "wake_acked"  # label: the rung of the last try; value: seconds since the wake's birth
    DELIVERY_FAILED = "delivery_failed"
    LOOP_DETECTED = "loop_detected"  # label: its kind
    ESCALATED = "escalated"


@dataclass(frozen=True, slots=True)
class Noted:
    """One thing that happened."""

    figure: Figure
    label: str = ""
    value: float = 1.0


class Figures(Protocol):
    """Whoever counts."""

    def note(self, noted: Sequence[Noted]) -> None:
        """Count what has been committed; never waits, never raises."""
        ...


class Uncounted:
    """Counts nothing: for who has no use of figures."""

    def note(self, noted: Sequence[Noted]) -> None:
        """Nothing."""
