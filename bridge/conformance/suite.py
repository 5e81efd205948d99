"""The suite: every trap that applies, on every adapter there is, and what came of it.

Rules of this file:
- A trap that raises what nobody foresaw has failed, and says so: the suite has no other way to end than a report.
- Traps run beside each other: each has a program, a session and a folder of its own.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bridge.conformance.traps import Mark, NotHere, Trap, Tried, Wrong

AT_ONCE: Final = 8
WHY_CHARS_MAX: Final = 300

Play = Callable[[Trap, Path], None]
Told = Callable[[str, Tried], None]


@dataclass(frozen=True, slots=True)
class OfAdapter:
    """What came of one adapter's traps; `why` says why it could not be tried at all."""

    adapter: str
    available: bool
    why: str
    traps: Sequence[Tried] = ()

    def count(self, mark: Mark) -> int:
        """How many ended like that."""
        return sum(tried.result is mark for tried in self.traps)


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a preset."""

    preset: str
    program: str | None
    version: str | None
    adapters: Sequence[OfAdapter] = field(default_factory=tuple)

    def count(self, mark: Mark) -> int:
        """How many traps ended like that, over all adapters."""
        return sum(adapter.count(mark) for adapter in self.adapters)

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "preset": self.preset,
            "program": self.program,
            "version": self.version,
            "adapters": [
                {
                    "adapter": one.adapter,
                    "available": one.available,
                    "why": one.why,
                    "traps": [
                        {
                            "name": tried.name,
                            "what": tried.what,
                            "result": tried.result.value,
                            "why": tried.why,
                            "s": round(tried.s, 2),
                        }
                        for tried in one.traps
                    ],
                }
                for one in self.adapters
            ],
            "passed": self.count(Mark.PASSED),
            "failed": self.count(Mark.FAILED),
            "skipped": self.count(Mark.SKIPPED),
        }


def try_one(trap: Trap, play: Play, folder: Path) -> Tried:
    """Try one trap; never raises."""
    began = time.monotonic()
    mark, why = Mark.PASSED, ""
    try:
        with tempfile.TemporaryDirectory(prefix="trap-", dir=folder, ignore_cleanup_errors=True) as own:
            play(trap, Path(own))
    except NotHere as found:
        mark, why = Mark.SKIPPED, str(found)
    except Wrong as found:
        mark, why = Mark.FAILED, str(found)
    except Exception as error:  # noqa: BLE001  whatever it is, the others are tried all the same
        mark, why = Mark.FAILED, f"the suite or the adapter broke: {type(error).__name__}: {error}"
    return Tried(trap.name, trap.what, mark, why[:WHY_CHARS_MAX], time.monotonic() - began)


def try_all(
    adapter: str, traps: Iterable[Trap], play: Play, told: Told, *, at_once: int = AT_ONCE
) -> OfAdapter:
    """Try all of an adapter's traps, some at a time; `told` hears of each as it ends."""

    def one(trap: Trap) -> Tried:
        tried = try_one(trap, play, folder)
        told(adapter, tried)
        return tried

    with tempfile.TemporaryDirectory(prefix=f"wbd-{os.getpid()}-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        with ThreadPoolExecutor(at_once, thread_name_prefix="trap") as pool:
            return OfAdapter(adapter, available=True, why="", traps=tuple(pool.map(one, traps)))
