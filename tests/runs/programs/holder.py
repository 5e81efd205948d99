"""A host's worker with nothing but a RunBook: starts runs, renews its term, says what it is told, until it is
killed. Arguments: data directory, number of runs, first number, fence, and the spec's fields as JSON.
"""

import json
import sys
import threading
from pathlib import Path

from bridge.adapters.runtimes.command import RunBook
from bridge.config import Settings
from bridge.core.states import Rung
from bridge.ports.runs import RunSpec
from tests.runs.world import Minter, Recorder

RENEW_S = 0.2


class Speaker(Recorder):
    """Says on stdout what it is told."""

    def _note(self, spec: RunSpec, event: str, **facts: object) -> None:
        say({"run_id": spec.run_id, "event": event, **facts})


def say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main(data_dir: Path, runs: int, first: int, fence_s: float, fields: dict[str, object]) -> None:
    settings = Settings(data_dir=data_dir, run_dir=data_dir / "run", host_name="here", port=4321)
    book = RunBook(settings, Speaker(), Minter(), fence_s=fence_s)
    say({"event": "ready", "swept": sorted(book.sweep(set()))})
    for number in range(first, first + runs):
        run_id = f"run_{data_dir.name}_{number:03}"
        given = {"run_id": run_id, "session_id": f"ses_{number}", "native_id": run_id, **fields}
        book.start(RunSpec(**given, rung=Rung.SPAWN))  # type: ignore[arg-type]
        say({"run_id": run_id, "event": "asked"})
    pause = threading.Event()
    while True:
        book.renew()
        pause.wait(RENEW_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), json.loads(sys.argv[5]))
