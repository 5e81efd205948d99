"""Scene 3: `deaf` never takes a line. It is tried as often as the policy says, typed once, and then people are told."""

from __future__ import annotations

import time
from typing import Any

from bridge.demo.ledger import POINTER
from bridge.demo.stage import Stage, Story
from bridge.demo.watch import Scene

FAILED_S_MAX = 40.0
TOLD_S_MAX = 5.0
OPERATORS = "*operators"


def play(scene: Scene, stage: Stage) -> None:
    """Play it."""
    began = time.monotonic()
    thread = stage.thread("Are you there?", "ci", "deaf")
    posted = stage.ci.post(thread, "The nightly build is red.", to=["deaf"])
    wake_id = posted["wakes"][0]["wake_id"]
    scene.tell("ci", "posts to deaf, whose terminal ignores Enter", f"message {posted['seq']}, wake opened")
    told: set[str] = set()

    def ended() -> Story | None:
        story = stage.operator.explain(wake_id)
        _tell_tries(scene, story, told)
        return story if story["wake"]["state"] == "failed" else None

    story = scene.until("the wake ends as failed", ended, FAILED_S_MAX, stage.seen(wake_id), every_s=0.2)
    tries = len(story["attempts"])
    wanted = stage.policy.live.tries
    scene.expect(f"it was tried {wanted} times", tries == wanted, tries)
    text = "".join(str(entry["text"]) for entry in stage.cast.ledger("deaf").entries("got", began))
    typed = text.count(POINTER)
    scene.expect(
        "the line was typed once, the other tries only pressed Enter", typed == 1, f"{typed} times: {text!r}"
    )
    scene.tell(
        "bridge",
        f"gives up after {tries} tries: the wake is failed",
        "typed once; the other tries only pressed Enter",
    )
    cause = "wake_failed:deaf"
    _notice(scene, "operator", lambda: stage.operator.notices()["items"], cause, OPERATORS)
    _notice(scene, "ci", lambda: stage.ci.inbox()["notices"], cause, "ci")
    receipt = stage.ci.receipts(thread, posted["seq"])["items"][0]
    scene.expect(
        "the sender's receipt says failed, and why",
        receipt["receipt"] == "failed" and receipt["why"],
        receipt,
    )


def _tell_tries(scene: Scene, story: Story, told: set[str]) -> None:
    for number, attempt in enumerate(story["attempts"], 1):
        if attempt["attempt_id"] not in told and attempt["why"]:
            told.add(attempt["attempt_id"])
            scene.tell("deaf", f"try {number}: its terminal did not take the line", str(attempt["why"]))


def _notice(scene: Scene, who: str, ask: Any, cause: str, audience: str) -> None:  # noqa: ANN401  a question
    def mine() -> dict[str, Any] | None:
        return next((n for n in ask() if n["cause"] == cause and n["audience"] == audience), None)

    notice = scene.until(f"{who} is told", mine, TOLD_S_MAX)
    scene.tell(who, f"is told why, by a notice to {audience}", notice["text"])
