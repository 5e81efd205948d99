"""The session's heartbeat by itself: what it leaves behind."""

import os
from pathlib import Path

import pytest

from bridge.terminal.heartbeat import Heartbeat, TokenFile


class Bridge:
    """A bridge that is away, or is not."""

    def __init__(self) -> None:
        self.away = False

    def token(self) -> str:
        if self.away:
            raise ConnectionError("nobody listens")
        return "token"

    def heartbeat(self, session_id: str, *, runtime: str, resumable: bool, status: str) -> None:
        del session_id, runtime, resumable, status


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("away", [True, False])
def test_a_seat_that_is_left_or_could_not_be_had_leaves_no_file_open(tmp_path: Path, *, away: bool) -> None:
    """A wrapper beside a pane asks for its seat again and again, for as long as the bridge is away."""
    bridge, file = Bridge(), TokenFile(tmp_path / "private", os.getpid())
    bridge.away = away
    before = open_files()
    for _ in range(5):
        try:
            beating = Heartbeat(bridge, "session-1", file)
        except ConnectionError:
            continue
        beating.start()
        beating.stop()
        beating.stop()
    assert open_files() == before
