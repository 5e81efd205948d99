"""Who plays: agents in terminals of their own under `bridge run`, and the human at one of the terminals.

Nothing here talks to the bridge. What an agent saw and did stands in its ledger, what its terminal showed in its log.
"""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from bridge.demo.ledger import Ledger
from bridge.demo.processes import Troupe
from bridge.demo.stack import BRIDGE, Stack

SCRIPTED = ("reviewer", "executor")
HUMAN_AT = "planner"
DEAF = "deaf"
OF_THEIR_OWN = ("executor",)
"""Whose preset says how their sessions are resumed; the others have the one of any program with a prompt."""
KEY_EVERY_S = 0.06
LEAVE_S_MAX = 5.0
_ASKS_CURSOR, _CURSOR = b"\x1b[6n", b"\x1b[1;1R"


@dataclass(frozen=True)
class Player:
    """One agent in its terminal."""

    name: str
    ledger: Ledger
    process: subprocess.Popen[bytes]


class Human:
    """Somebody at a keyboard: a real pseudo-terminal around `bridge run`, whose screen is read and kept."""

    def __init__(self, master: int, log: Path) -> None:
        self._master = master
        self._shown = log.open("ab", buffering=0)
        self.typed_at = 0.0
        self._eyes = threading.Thread(target=self._look, name="human-eyes", daemon=True)
        self._eyes.start()

    def type(self, text: str) -> None:
        """Press the keys one by one, as fast as a person does."""
        for letter in text:
            os.write(self._master, letter.encode())
            self.typed_at = time.monotonic()
            time.sleep(KEY_EVERY_S)

    def close(self) -> None:
        """Leave the terminal."""
        self._eyes.join(LEAVE_S_MAX)
        with contextlib.suppress(OSError):
            os.close(self._master)
        self._shown.close()

    def _look(self) -> None:
        """Read the screen, or its program would block; answer where the cursor is, as terminals do."""
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 65_536):
                self._shown.write(data)
                os.write(self._master, _CURSOR * data.count(_ASKS_CURSOR))


@dataclass
class Cast:
    """All players of the play."""

    players: dict[str, Player]
    human: Human

    def ledger(self, name: str) -> Ledger:
        """What a player saw and did."""
        return self.players[name].ledger


def raise_cast(troupe: Troupe, stack: Stack) -> Cast:
    """Start everybody; they are at their terminals when their ledgers say that they began. From the main thread."""
    players = {name: _headless(troupe, stack, name, "bridge.demo.agent") for name in SCRIPTED}
    players[DEAF] = _headless(troupe, stack, DEAF, "bridge.demo.deaf")
    master, slave = pty.openpty()
    command = _command(troupe, stack, HUMAN_AT, "bridge.demo.agent", headless=False)
    process = troupe.start(command, terminal=slave)
    os.close(slave)
    players[HUMAN_AT] = Player(HUMAN_AT, Ledger(_ledger(troupe, HUMAN_AT)), process)
    return Cast(players, Human(master, troupe.data / f"{HUMAN_AT}.screen"))


def _headless(troupe: Troupe, stack: Stack, name: str, program: str) -> Player:
    command = _command(troupe, stack, name, program, headless=True)
    process = troupe.start(command, log=troupe.data / f"{name}.log")
    return Player(name, Ledger(_ledger(troupe, name)), process)


def _command(troupe: Troupe, stack: Stack, name: str, program: str, *, headless: bool) -> list[str]:
    options = ["--headless", "--log", str(troupe.data / f"{name}.screen")] if headless else []
    preset = name if name in OF_THEIR_OWN else "line"
    run = [*BRIDGE, "run", "--data", str(stack.data), "--agent", name, "--preset", preset, *options]
    return [*run, "--", sys.executable, "-m", program, name, str(_ledger(troupe, name))]


def _ledger(troupe: Troupe, name: str) -> Path:
    return troupe.data / f"{name}.ledger"
