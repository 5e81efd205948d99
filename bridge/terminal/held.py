"""The human's keys that waited while our text was in the box, let go as he would have typed them.

Rules of this file:
- In order, and nothing lost: what he types until all of it is gone queues behind it.
- Enter comes alone. A program that sees letters and Enter in one burst takes it for a paste, and the Enter for a new
  line of it: two of the human's prompts would become one.
"""

from collections import deque
from typing import Final

from bridge.terminal.keys import Token

GAP_S: Final = 0.15
_ENTER: Final = (b"\r", b"\n")
_ENTER_BY_NUMBER: Final = b"\x1b[13"


class HeldKeys:
    """A queue of tokens, and when the next of them may go."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._tokens: deque[Token] = deque()
        self._passed_at: float | None = None
        self._entered = False

    def __bool__(self) -> bool:
        """Whether any wait."""
        return bool(self._tokens)

    def keep(self, token: Token) -> None:
        """Let it wait behind the others."""
        self._tokens.append(token)

    def release(self, now: float) -> list[Token]:
        """Those that may go now."""
        gone: list[Token] = []
        while self._tokens and self._may_go(self._tokens[0], now):
            token = self._tokens.popleft()
            self._passed_at, self._entered = now, _is_enter(token)
            gone.append(token)
        if not self._tokens:
            self._passed_at, self._entered = None, False
        return gone

    def _may_go(self, token: Token, now: float) -> bool:
        alone = self._entered or _is_enter(token)
        return not alone or self._passed_at is None or now - self._passed_at >= GAP_S


def _is_enter(token: Token) -> bool:
    return token.data in _ENTER or token.data.startswith(_ENTER_BY_NUMBER)
