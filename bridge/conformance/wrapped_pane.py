"""`bridge attach` as the suite starts it: the real thing beside a pane of the suite's tmux."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bridge.config import inherited_environment
from bridge.conformance.wrapped import BRIDGE_NOWHERE, NoBridge, preset_of
from bridge.terminal import Rules
from bridge.terminal.tmux import AttachOptions, attach


def main() -> None:
    """Serve the pane that the last argument names."""
    told = json.loads(sys.argv[-1])
    folder = Path(told["folder"])
    preset = preset_of(told)
    options = AttachOptions(
        agent_id="doctor",
        session_id=told["session_id"],
        url=BRIDGE_NOWHERE,
        preset=preset.name,
        rules=Rules(**preset.screen.arguments()),
        host_socket=folder / "host.sock",
        private_dir=folder / "private",
        pane_id=told["pane"],
        socket=Path(told["socket"]),
        variables=inherited_environment(),
    )
    sys.exit(attach(options, NoBridge(told["session_id"]), lambda _words: None))
