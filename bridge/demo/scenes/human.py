"""Scene 2: a human types at `planner`'s terminal. The wake waits, shows why, and comes after him, not into his line."""

from __future__ import annotations

import time
from itertools import islice
from typing import Any

from bridge.demo.stage import Stage
from bridge.demo.watch import Scene

DRAFT = "Plan the release for Friday, and tell everybody who waits for it"
FIRST = 8
BODY = "Build 512 is green."
HELD_S_MAX = 5.0
TAKEN_S_MAX = 15.0
READ_S_MAX = 8.0


def play(scene: Scene, stage: Stage) -> None:
    """Play it."""
    began = time.monotonic()
    human, ledger = stage.cast.human, stage.cast.ledger("planner")
    thread = stage.thread("Builds", "ci", "planner")
    keys = iter(DRAFT)
    human.type("".join(islice(keys, FIRST)))
    scene.tell("human", f"begins to type at planner's terminal: {DRAFT[:FIRST]!r}", "no Enter yet")
    posted = stage.ci.post(thread, BODY, to=["planner"])
    wake_id = posted["wakes"][0]["wake_id"]
    scene.tell("ci", f"posts to planner: {BODY}", f"message {posted['seq']}, wake opened")

    def held() -> dict[str, Any] | None:
        human.type(next(keys, ""))
        return _held(stage, wake_id)

    wait = scene.until("planner's wake waits for the human", held, HELD_S_MAX, stage.seen(wake_id))
    words = f"since {wait['since'][11:19]} UTC: {wait['wake']['why']}"
    scene.tell("planner", f"its wake waits, for the reason: {wait['wake']['reason']}", words)
    human.type("".join(keys))
    tries = stage.operator.wake(wake_id)["attempts"]
    scene.expect("nothing is tried while he types", tries == 0, tries)
    human.type("\r")
    quiet_from = human.typed_at
    whole = ledger.first("saw", began, line=DRAFT)
    scene.until("his line arrives as he typed it", whole, HELD_S_MAX, lambda: ledger.entries("saw", began))
    scene.tell("human", "presses Enter; his line arrives as he typed it", repr(DRAFT))
    stage.woken(scene, "planner", wake_id, TAKEN_S_MAX)
    lines = ledger.woken(began)
    scene.expect("planner saw the wake's line once", len(lines) == 1, [entry["line"] for entry in lines])
    quiet_s = lines[0]["at"] - quiet_from
    wanted_s = stage.policy.defer_quiet_s
    scene.expect(f"the line came after {wanted_s:g} s of quiet", quiet_s >= wanted_s, f"{quiet_s:.2f} s")
    wake = stage.read(scene, "planner", wake_id, READ_S_MAX)
    scene.tell(
        "planner",
        "reads it",
        f"acked; came {quiet_s:.1f} s after his last key, deferred {wake['deferred_s']:.1f} s",
    )


def _held(stage: Stage, wake_id: str) -> dict[str, Any] | None:
    """The wake, when it waits for the human, and since when."""
    story = stage.operator.explain(wake_id)
    wake = story["wake"]
    if wake["state"] != "pending" or wake["reason"] != "human":
        return None
    first = next(step for step in story["steps"] if step["reason"] == "human")
    return {"wake": wake, "since": first["at"]}
