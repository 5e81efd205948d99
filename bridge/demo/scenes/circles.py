"""Scene 4: two agents repeat themselves until the bridge blocks their thread; an operator decides, and they go on."""

from __future__ import annotations

import time
from typing import Any

from bridge.core.states import WAKE_OPEN
from bridge.demo.brain import DISPUTE, VERDICT
from bridge.demo.stage import Stage
from bridge.demo.watch import Scene

BLOCKED_S_MAX = 25.0
TOLD_S_MAX = 5.0
ACT_S_MAX = 10.0


def play(scene: Scene, stage: Stage) -> None:
    """Play it."""
    thread = stage.thread("Tabs or spaces", "reviewer", "executor")
    stage.operator.trigger(thread, "reviewer", "a dispute to settle", trigger_prompt=DISPUTE)
    scene.tell(
        "operator", f"asks reviewer: {DISPUTE}", f"turns allowed without progress: {stage.policy.turns_max}"
    )
    seen: set[int] = set()

    def blocked() -> dict[str, Any] | None:
        _tell_turns(scene, stage, thread, seen)
        view = stage.operator.thread(thread)
        return view if view["status"] == "blocked" else None

    view = scene.until(
        "the thread is blocked", blocked, BLOCKED_S_MAX, lambda: stage.operator.thread(thread)["turns"]
    )
    _tell_turns(scene, stage, thread, seen)
    scene.tell("bridge", "blocks the thread: nobody is woken in it", str(view["blocked_reason"]))
    cause = f"blocked:{thread}"
    notice = scene.until(
        "the operator is told",
        lambda: next((n for n in stage.operator.notices()["items"] if n["cause"] == cause), None),
        TOLD_S_MAX,
    )
    before = stage.wakes(thread=thread)
    still = [wake["state"] for wake in before if wake["state"] in WAKE_OPEN]
    scene.expect("no wake is open in a blocked thread", not still, still)
    stage.operator.set_status(thread, "active", VERDICT)
    scene.tell("operator", f"is told, and unblocks it: {VERDICT!r}", notice["text"])
    unblocked = time.monotonic()
    known = {wake["wake_id"] for wake in before}
    opened = scene.until(
        "a wake is opened for executor, who has something unread",
        lambda: [w for w in stage.wakes(thread=thread, agent="executor") if w["wake_id"] not in known],
        ACT_S_MAX,
    )
    stage.woken(scene, "executor", opened[0]["wake_id"])
    decision = scene.until(
        "executor decides",
        stage.cast.ledger("executor").first("posted", unblocked, type="decision"),
        ACT_S_MAX,
    )
    stage.read(scene, "executor", opened[0]["wake_id"])
    scene.tell(
        "executor", "reads the verdict, and posts a decision", f"message {decision['seq']}, turns back to 0"
    )
    stage.read(scene, "reviewer", decision["wakes"]["reviewer"])
    after = stage.operator.thread(thread)
    scene.expect(
        "the thread is active, without turns",
        (after["status"], after["turns"]) == ("active", 0),
        after["turns"],
    )
    scene.tell(
        "reviewer", "is woken, reads it, and lets it rest", f"thread active, {after['last_seq']} messages"
    )


def _tell_turns(scene: Scene, stage: Stage, thread: str, seen: set[int]) -> None:
    for message in stage.operator.read(thread)["items"]:
        if message["kind"] == "chat" and message["seq"] not in seen:
            seen.add(message["seq"])
            scene.tell(message["sender_agent_id"], f"says: {message['body']}", f"message {message['seq']}")
