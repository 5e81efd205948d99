"""What the mock model does in this soak, and what it keeps: every user turn that a client gave it, and when.

Rules of this file:

- It looks at the whole conversation, not only at the newest turn: a prompt that comes while a wake is worked on makes
  nothing forgotten.
- The newest question has all turns so far. A turn that stands in an older question and in no later one is kept as well.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Sequence

from tests.agents.dialects import Answer, Say, Shell, Tool
from tests.agents.dialects import Turn as Said
from tests.agents.mock_model import MockModel
from tests.live.account import LINE, Turn
from tests.live.human import MARKER, SLOWLY

CAUGHT_UP = "caught up: "
SLOW_S = 3.0
_MARKER = re.compile(rf"{MARKER} (\S+)")


class Script:
    """The script of one cell. `catch_up` reads the inbox; `marks` is where commands that need approval leave a file."""

    def __init__(self, client: str, model: MockModel, catch_up: str, marks: str) -> None:
        self._client, self._catch_up, self._marks = client, catch_up, marks
        self._lock = threading.Lock()
        self._turns: list[Turn] = []
        self._heard: dict[str, float] = {}
        model.rule("", self.answer)
        model.rule(SLOWLY, self.answer, delay_s=SLOW_S)

    def turns(self) -> list[Turn]:
        """All user turns so far, in the order in which they came."""
        with self._lock:
            return list(self._turns)

    def heard(self) -> dict[str, float]:
        """When the model first heard how a marker's command ended."""
        with self._lock:
            return dict(self._heard)

    def answer(self, said: Sequence[Said]) -> Answer:
        """The next step: first what wakes ask for, then commands that need approval, then words."""
        with self._lock:
            self._keep(said)
        for number, turn in enumerate(said):
            later = said[number + 1 :]
            if turn.kind != "user" or any(one.kind == "assistant" for one in later):
                continue
            if LINE.search(turn.text) and not any(
                CAUGHT_UP in one.text for one in later if one.kind == "output"
            ):
                return Shell(self._catch_up)
            asked = _MARKER.search(turn.text)
            if asked and not any(self._mark(asked[1]) in one.text for one in later):
                return self._escalated(self._mark(asked[1]))
        return Say("mock: heard")

    def _mark(self, name: str) -> str:
        return f"{self._marks}/{name}"

    def _escalated(self, mark: str) -> Answer:
        if self._client == "codex":
            why = {"sandbox_permissions": "require_escalated", "justification": "the human asked for it"}
            return Tool("exec_command", {"cmd": f"touch {mark}"} | why)
        return Tool("Bash", {"command": f"touch {mark}", "description": "leaves a mark"})

    def _keep(self, said: Sequence[Said]) -> None:
        now = time.monotonic()
        new = Counter(turn.text for turn in said if turn.kind == "user")
        new -= Counter(turn.text for turn in self._turns)
        for turn in said:
            if turn.kind == "user" and new[turn.text] > 0:
                new[turn.text] -= 1
                self._turns.append(Turn(now, turn.text))
        for number, turn in enumerate(said):
            if turn.kind == "user" and (asked := _MARKER.search(turn.text)) and asked[1] not in self._heard:
                calls = [
                    at for at, one in enumerate(said) if at > number and self._mark(asked[1]) in one.text
                ]
                if calls and any(one.kind == "output" for one in said[calls[0] + 1 :]):
                    self._heard[asked[1]] = now
