"""The traps of live adapters, put on: which apply, and how one is played on an adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.conformance.live import LiveAdapter
from bridge.conformance.live_traps import LIVE_TRAPS
from bridge.conformance.queue_traps import QUEUE_TRAPS
from bridge.conformance.stage import Stage
from bridge.conformance.suite import Play
from bridge.conformance.traps import Trap


def live_traps(adapter: str, look: str) -> list[Trap]:
    """The traps for this adapter with a program of this look."""
    return [
        trap
        for trap in (*LIVE_TRAPS, *QUEUE_TRAPS)
        if (not trap.only or adapter in trap.only) and (not trap.looks or look in trap.looks)
    ]


def live_play(adapter: LiveAdapter, told: Mapping[str, Any]) -> Play:
    """How a live trap is played on this adapter, with a fake program that was told this."""

    def play(trap: Trap, folder: Path) -> None:
        stage = Stage(adapter, folder, told)
        try:
            trap.play(stage)
        finally:
            stage.close()

    return play
