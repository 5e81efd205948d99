"""The traps of a program's own queue: no key is pressed, and queued is not delivered."""

from __future__ import annotations

from typing import Final

from bridge.conformance.live_traps import ACCEPTED, BRIEF_S, READY_S, UNVERIFIED, trap
from bridge.conformance.stage import Stage
from bridge.conformance.traps import Trap, Wrong
from bridge.conformance.truth import until

QUEUE_TRAPS: Final[list[Trap]] = []
NATIVE_S: Final = 1.6
"""By then the wrapper has looked what the program calls its session."""


def _nothing_typed(stage: Stage) -> None:
    if stage.truth.got():
        message = f"keys were pressed although the line was queued: {stage.truth.got()[:40]!r}"
        raise Wrong(message)


@trap(
    "own queue",
    "The program has a queue of its own: no key is to be pressed.",
    only="pty",
    look="codex",
    into=QUEUE_TRAPS,
)
def _queue(stage: Stage) -> None:
    stage.open(queue="takes")
    stage.pause(NATIVE_S)
    stage.expect(stage.hand(), ACCEPTED)
    _nothing_typed(stage)


@trap(
    "queue refuses",
    "The program's queue takes nothing yet: the line is to be typed.",
    only="pty",
    look="codex",
)
def _queue_refuses(stage: Stage) -> None:
    stage.open(queue="refuses")
    stage.pause(NATIVE_S)
    stage.expect(stage.hand(), ACCEPTED)


@trap(
    "queue hangs",
    "The queue does not answer: whether it has the line nobody knows.",
    only="pty",
    look="codex",
)
def _queue_hangs(stage: Stage) -> None:
    stage.open(queue="hangs")
    stage.pause(NATIVE_S)
    stage.expect(stage.hand(key="wake", deadline_s=4.0), UNVERIFIED)
    stage.expect(stage.hand(key="wake", deadline_s=BRIEF_S), UNVERIFIED)
    _nothing_typed(stage)


@trap(
    "queued, never taken",
    "Queued is not delivered: the program never takes it.",
    only="pty",
    look="codex",
    into=QUEUE_TRAPS,
)
def _queue_loses(stage: Stage) -> None:
    stage.open(queue="loses")
    stage.pause(NATIVE_S)
    stage.expect(stage.hand(key="wake", deadline_s=BRIEF_S), UNVERIFIED)
    stage.expect(stage.hand(key="wake", deadline_s=BRIEF_S), UNVERIFIED)
    _nothing_typed(stage)


@trap(
    "queued, taken late",
    "The program takes what was queued when nobody waits for it any more.",
    only="pty",
    look="codex",
)
def _queue_late(stage: Stage) -> None:
    stage.open(queue="late")
    stage.pause(NATIVE_S)
    stage.expect(stage.hand(key="wake", deadline_s=BRIEF_S), UNVERIFIED)
    until(stage.truth.prompts, "the line, taken late", READY_S)
    stage.pause(NATIVE_S)
    stage.expect(stage.hand(key="wake", deadline_s=BRIEF_S), ACCEPTED)
    _nothing_typed(stage)
