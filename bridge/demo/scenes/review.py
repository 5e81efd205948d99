"""Scene 1: a finding is posted, `executor` is woken and fixes it, `reviewer` is woken, verifies, and resolves."""

from __future__ import annotations

import time

from bridge.demo.brain import COMMIT, REVIEW, TEXT, WHERE
from bridge.demo.ledger import Entry
from bridge.demo.stage import Stage
from bridge.demo.watch import Scene

ACT_S_MAX = 8.0


def play(scene: Scene, stage: Stage) -> None:
    """Play it."""
    began = time.monotonic()
    thread = stage.thread("Review of parser.py", "reviewer", "executor")
    asked = stage.operator.trigger(thread, "reviewer", "the demo begins", trigger_prompt=REVIEW)
    scene.tell(
        "operator", "asks reviewer for a review of parser.py", f"message {asked['target_seq']}, wake opened"
    )
    stage.woken(scene, "reviewer", asked["wake_id"])
    finding = _posted(scene, stage, "reviewer", "finding_reported", thread, asked["wake_id"])
    scene.tell("reviewer", f"posts finding_reported: {WHERE} {TEXT}", _evidence(finding))
    stage.woken(scene, "executor", finding["wakes"]["executor"])
    fix = _posted(scene, stage, "executor", "fix_pushed", thread, finding["wakes"]["executor"])
    scene.tell("executor", f"reads it, and answers fix_pushed: commit {COMMIT}", _evidence(fix))
    stage.woken(scene, "reviewer", fix["wakes"]["reviewer"])
    verdict = _posted(scene, stage, "reviewer", "finding_verified", thread, fix["wakes"]["reviewer"])
    scene.tell("reviewer", "reads it, and posts finding_verified", _evidence(verdict))

    def resolved() -> dict[str, object] | None:
        view = stage.operator.thread(thread)
        return view if view["status"] == "resolved" else None

    view = scene.until("the thread is resolved", resolved, ACT_S_MAX)
    stage.read(scene, "executor", verdict["wakes"]["executor"])
    scene.tell(
        "bridge",
        "the thread is resolved",
        f"{view['last_seq']} messages, {view['open_findings']} open findings",
    )
    for name in ("reviewer", "executor"):
        seen = len(stage.cast.ledger(name).woken(began))
        scene.expect(f"{name} saw one line for each of its 2 wakes", seen == 2, f"{seen} lines")  # noqa: PLR2004


def _posted(scene: Scene, stage: Stage, who: str, event: str, thread: str, wake_id: str) -> Entry:
    """Wait until an agent has posted this event by itself; reading for it ended the wake that made it look."""
    ask = stage.cast.ledger(who).first("posted", type=event, thread=thread)
    entry = scene.until(f"{who} posts {event}", ask, ACT_S_MAX, lambda: stage.cast.ledger(who).entries()[-3:])
    stage.read(scene, who, wake_id)
    return entry


def _evidence(posted: Entry) -> str:
    return f"message {posted['seq']}, its own wake acked; wake for {', '.join(posted['wakes'])}"
