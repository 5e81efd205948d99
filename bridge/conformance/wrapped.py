"""`bridge run` as the suite starts it: the real wrapper in a window of the suite's, and a bridge that hears nothing."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import bridge
from bridge.adapters.presets import Preset, load_preset
from bridge.config import inherited_environment
from bridge.terminal import Live, Options, Rules, run

PACKAGES: Final = str(Path(bridge.__file__).resolve().parents[1])
START: Final = (
    "import sys; sys.path.append({packages!r}); from bridge.conformance.{module} import main; main()"
)
QUEUE_S: Final = 3.0
BRIDGE_NOWHERE: Final = "http://127.0.0.1:1"


def module_command(module: str, *arguments: str, bare: bool = False) -> list[str]:
    """The command that runs `main` of a module of this package; `bare`: with the standard library alone."""
    start = START.format(packages=PACKAGES, module=module)
    return [sys.executable, *(["-I", "-S"] if bare else []), "-c", start, *arguments]


def preset_of(told: dict[str, Any]) -> Preset:
    """The preset that a wrapper is told."""
    return load_preset(told["preset"], Path(told["presets_dir"]) if told["presets_dir"] else None)


def _live(preset: Preset, told: dict[str, Any]) -> Live:
    """The preset's native ways, with the suite's queue in the place of the program's; none where none is told."""
    if preset.live is None or not told["queue"]:
        return Live()
    own = {"append": (), "queue_argv": tuple(told["queue"]), "queue_timeout_s": QUEUE_S}
    return Live(**(preset.live.arguments() | own))


class NoBridge:
    """Takes every heartbeat and tells nobody."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        """The suite's own name of the session."""
        return self._token

    def heartbeat(self, session_id: str, *, runtime: str, resumable: bool, status: str) -> None:
        """Nobody is told."""


def main() -> None:
    """Wrap what the last argument describes, in the terminal it names."""
    told = json.loads(sys.argv[-1])
    if told["terminal"]:  # we lead a session without a terminal: the first one opened is ours
        slave = os.open(told["terminal"], os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(slave, fd)
    folder = Path(told["folder"])
    preset = preset_of(told)
    options = Options(
        command=tuple(told["command"]),
        agent_id="doctor",
        session_id=told["session_id"],
        url=BRIDGE_NOWHERE,
        preset=preset.name,
        rules=Rules(**preset.screen.arguments()),
        host_socket=folder / "host.sock",
        private_dir=folder / "private",
        headless=not told["terminal"],
        live=_live(preset, told),
        variables=inherited_environment(),
    )
    sys.exit(run(options, NoBridge(told["session_id"])))
