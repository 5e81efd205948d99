"""`bridge attach` as the tests start it: the real wrapper, its heartbeats written to a file."""

import argparse
import sys
from pathlib import Path

from bridge.adapters.presets import load_preset
from bridge.config import inherited_environment
from bridge.terminal import Rules
from bridge.terminal.tmux import AttachOptions, attach
from bridge.terminal.tmux_pane import TmuxError
from tests.terminal.programs.wrapped import FileClient


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--pane")
    parser.add_argument("--preset", default="line")
    parser.add_argument("--program", action="append", default=[])
    parser.add_argument("command", nargs="*")
    args = parser.parse_args()
    options = AttachOptions(
        agent_id="reviewer",
        session_id="session-1",
        url="http://127.0.0.1:1",
        preset=args.preset,
        rules=Rules(**load_preset(args.preset).screen.arguments()),
        host_socket=args.dir / "host.sock",
        private_dir=args.dir / "private",
        pane_id=args.pane,
        command=tuple(args.command),
        programs=tuple(args.program),
        socket=args.socket,
        variables=inherited_environment(),
        environment={"BRIDGE_WORKSPACE_ID": "home", "DATABASE_URL": None},
    )
    try:
        return attach(options, FileClient(args.dir), lambda text: print(text, flush=True))
    except (TmuxError, LookupError, ValueError) as error:
        print(error, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
