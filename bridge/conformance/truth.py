"""What really happened to a fake program, as it wrote it down itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from bridge.conformance.traps import Wrong

LOOK_AGAIN_S: Final = 0.02

T = TypeVar("T")


def until(look: Callable[[], T | None], what: str, deadline_s: float) -> T:
    """Look again and again until there is something true. Raises Wrong when it never comes."""
    deadline = time.monotonic() + deadline_s
    while not (found := look()):
        if time.monotonic() >= deadline:
            message = f"within {deadline_s:g} s never came: {what}"
            raise Wrong(message)
        time.sleep(LOOK_AGAIN_S)
    return found


class Truth:
    """The file in which a fake program writes down what it got and what it did."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def events(self, name: str) -> list[dict[str, Any]]:
        """All events of that name so far."""
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        return [event for line in lines if (event := json.loads(line))["event"] == name]

    def size(self) -> int:
        """How much it has written down."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def got(self) -> bytes:
        """Every byte it has read."""
        return b"".join(bytes.fromhex(event["hex"]) for event in self.events("bytes"))

    def prompts(self) -> list[str]:
        """The prompts it took, in order."""
        return [str(event["text"]) for event in self.events("prompt")]

    def pid(self) -> int | None:
        """The program's process, once it is there."""
        ready = self.events("ready")
        return int(ready[0]["pid"]) if ready else None
