"""Traps: what goes wrong in the field, each with a name, a sentence, and what an adapter may claim in it.

Rules of this file:
- A trap is data and a short play. What is a lie is not the trap's to say: the verdicts hold for every trap.
- A name never changes its meaning: reports are compared by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What an adapter does to reach its agent."""

    LIVE = "live"
    START = "start"
    POST = "post"


class Mark(StrEnum):
    """How a trap ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Wrong(Exception):
    """The adapter did or claimed something wrong; the words say what."""


class NotHere(Exception):
    """The trap cannot be set here; the words say why."""


@dataclass(frozen=True, slots=True)
class Trap:
    """One trap. `play` raises Wrong; `only` names adapters and `looks` the looks it is for; empty: all."""

    name: str
    what: str
    kind: Kind
    play: Callable[[Any], None]
    only: frozenset[str] = frozenset()
    looks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Tried:
    """A trap that was tried: how it ended, why when it did not pass, and how long it took."""

    name: str
    what: str
    result: Mark
    why: str
    s: float
