"""Which of the suite's looks a preset's rules recognise: the fakes are drawn the way the preset expects its program."""

from __future__ import annotations

from typing import Any, Final

from bridge.conformance.programs.looks import Scene, draw
from bridge.terminal import Rules
from bridge.terminal.judge import judge_for
from bridge.terminal.screen import Screen
from bridge.terminal.verdict import Seen

COLS, ROWS = 110, 32
PROMPTS: Final = ("> ", "$ ", ">>> ", "\u276f ", "\u203a ", "# ", ": ", "% ")
LOOKS: Final[tuple[dict[str, Any], ...]] = (
    *({"look": "line", "prompt": prompt} for prompt in PROMPTS),
    {"look": "codex"},
    {"look": "claude"},
)


def likeness(rules: Rules) -> dict[str, Any] | None:
    """What the fake program is told so that these rules see its empty box as one; None: no look of ours fits."""
    return next((look for look in LOOKS if _is_empty(rules, look)), None)


def _is_empty(rules: Rules, look: dict[str, Any]) -> bool:
    screen, judge = Screen(COLS, ROWS), judge_for(rules)
    screen.feed(b"\x1b[?2004h")
    scene = Scene(prompt=look.get("prompt", "> "))
    screen.feed(draw(look["look"], scene, COLS, ROWS).encode())
    return judge.look(screen.frame()).seen is Seen.EMPTY
