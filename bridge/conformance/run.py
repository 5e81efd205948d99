"""One preset through the whole suite: what applies, on which adapters, and the report of it.

Rules of this file:
- What cannot be tried is said, with the reason: an adapter that is left out silently would look as if it had passed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge.adapters.presets import Preset, load_preset
from bridge.conformance.likeness import likeness
from bridge.conformance.live import LiveAdapter, PtyAdapter
from bridge.conformance.live_play import live_play, live_traps
from bridge.conformance.live_traps import LIVE_TRAPS
from bridge.conformance.own import OWN, Own, own_command
from bridge.conformance.pane import TmuxAdapter
from bridge.conformance.post_traps import POST_TRAPS
from bridge.conformance.posted import PostBench
from bridge.conformance.queue_traps import QUEUE_TRAPS
from bridge.conformance.start_traps import START_TRAPS
from bridge.conformance.started import Bench, CommandAdapter
from bridge.conformance.suite import OfAdapter, Told, try_all
from bridge.conformance.traps import Trap
from bridge.terminal import Rules

LIVE_ADAPTERS: Final[Mapping[str, Callable[[str, Path | None], LiveAdapter]]] = {
    "pty": PtyAdapter,
    "tmux": TmuxAdapter,
}
ADAPTERS: Final = (*LIVE_ADAPTERS, "command", "webhook")
"""In the order of the report; the user's own program comes last."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What of the suite is to be run; None: all of it."""

    adapter: str | None = None
    trap: str | None = None

    def of(self, traps: Sequence[Trap]) -> list[Trap]:
        """Those of the traps that are wanted."""
        return [trap for trap in traps if self.trap in (None, trap.name)]


def all_traps() -> list[Trap]:
    """Every trap there is."""
    return [*LIVE_TRAPS, *QUEUE_TRAPS, *START_TRAPS, *POST_TRAPS]


def try_preset(name: str, presets_dir: Path | None, chosen: Chosen, told: Told) -> list[OfAdapter]:
    """Every trap that applies to this preset, on every adapter. Raises PresetError for what is no preset."""
    preset = load_preset(name, presets_dir)
    return [
        _try_adapter(adapter, preset, presets_dir, chosen, told)
        for adapter in ADAPTERS
        if chosen.adapter in (None, adapter)
    ]


@dataclass(frozen=True, slots=True)
class OwnWanted:
    """How the user's own program is to be tried: another than the preset names, and where."""

    program: str | None = None
    cwd: Path | None = None
    may_resume: bool = False


def try_own(
    name: str, presets_dir: Path | None, wanted: OwnWanted, told: Told
) -> tuple[OfAdapter, str | None, str | None]:
    """The user's own program for this preset: what came of it, where it is, and its version."""
    preset = load_preset(name, presets_dir)
    command, why = own_command(preset, wanted.program)
    if why is not None:
        return OfAdapter(OWN, available=False, why=why), None, None
    with tempfile.TemporaryDirectory(prefix="bridge-doctor-", ignore_cleanup_errors=True) as empty:
        own = Own(preset, command, wanted.cwd or Path(empty), told, presets_dir, wanted.may_resume)
        return own.run(), command[0], own.version


def _try_adapter(
    adapter: str, preset: Preset, presets_dir: Path | None, chosen: Chosen, told: Told
) -> OfAdapter:
    if adapter == "command":
        return _try_command(preset, presets_dir, chosen, told)
    if adapter == "webhook":
        if preset.webhook is None:
            return OfAdapter(adapter, available=False, why=f"the preset {preset.name} has no [webhook]")
        return try_webhook(chosen, told)
    if preset.looks is None:
        return OfAdapter(adapter, available=False, why=f"the preset {preset.name} has no [screen]")
    look = likeness(Rules(**preset.looks.arguments()))
    if look is None:
        why = "none of the suite's fake programs looks as its [screen] says: only the program itself can be tried"
        return OfAdapter(adapter, available=False, why=why)
    under_test = LIVE_ADAPTERS[adapter](preset.name, presets_dir)
    try:
        return try_live(under_test, look, chosen, told)
    finally:
        under_test.close()


def try_live(adapter: LiveAdapter, look: Mapping[str, Any], chosen: Chosen, told: Told) -> OfAdapter:
    """Every trap of live adapters on this one, with fake programs that look like this."""
    why = adapter.why_not()
    if why is not None:
        return OfAdapter(adapter.name, available=False, why=why)
    traps = chosen.of(live_traps(adapter.name, str(look["look"])))
    return try_all(adapter.name, traps, live_play(adapter, look), told)


def try_webhook(chosen: Chosen, told: Told, make: Callable[[Path], PostBench] = PostBench) -> OfAdapter:
    """Every trap of posting; the runtime is the same whatever the preset says."""

    def play(trap: Trap, folder: Path) -> None:
        bench = make(folder)
        try:
            trap.play(bench)
        finally:
            bench.close()

    with tempfile.TemporaryDirectory(prefix="wbd-", ignore_cleanup_errors=True) as folder:
        first = make(Path(folder))  # what is loaded with the first request of a process is no service's fault
        first.service()
        first.hand()
        first.close()
    return try_all("webhook", chosen.of(POST_TRAPS), play, told)


def _try_command(preset: Preset, presets_dir: Path | None, chosen: Chosen, told: Told) -> OfAdapter:
    if preset.command is None:
        return OfAdapter("command", available=False, why=f"the preset {preset.name} has no [command]")
    adapter = CommandAdapter(preset.name, presets_dir, preset.command)

    def play(trap: Trap, folder: Path) -> None:
        bench = Bench(adapter, folder)
        try:
            trap.play(bench)
        finally:
            bench.close()

    try:
        return try_all("command", chosen.of(START_TRAPS), play, told)
    finally:
        adapter.close()
