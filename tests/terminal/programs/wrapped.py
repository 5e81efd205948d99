"""`bridge run` as the tests start it: the real wrapper, its heartbeats written to a file."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from bridge.adapters.presets import load_preset
from bridge.terminal import Options, Rules, run


@dataclass
class FileClient:
    """A bridge whose heartbeats end in a file; its token is what another file says."""

    directory: Path

    def token(self) -> str:
        return (self.directory / "token").read_text()

    def heartbeat(self, session_id: str, *, runtime: str, resumable: bool, status: str) -> None:
        with (self.directory / "heartbeats").open("a") as file:
            file.write(f"{session_id} {runtime} {resumable} {status}\n")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--headless", action="store_true")
    parser.add_argument("--log", type=Path)
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    options = Options(
        command=tuple(args.command),
        agent_id="reviewer",
        session_id="session-1",
        url="http://127.0.0.1:1",
        preset="line",
        rules=Rules(**load_preset("line").screen.arguments()),
        host_socket=args.dir / "host.sock",
        private_dir=args.dir / "private",
        headless=args.headless,
        log=args.log,
    )
    return run(options, FileClient(args.dir))


if __name__ == "__main__":
    sys.exit(main())
