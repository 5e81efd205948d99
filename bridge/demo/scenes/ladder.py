"""Scene 7: an SRE shortens a deadline while the bridge runs; `builder` is resumed twice, in vain, then started anew.

The new process knows nothing of what went before but what its prompt sums up: its answer shows that it had that.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from bridge.demo.brain import BLOCKER, DECISION, OUTLOOK
from bridge.demo.figures import seconds
from bridge.demo.stage import Stage, Story
from bridge.demo.starts import Run, bind, describe, hear, nth_run, over, rungs, runs, started
from bridge.demo.watch import Scene

WHO = "builder"
SESSION = "builder-monday"
SHORT_S = 3.0
IN_FORCE_S_MAX = 1.0
UNDER_WAY_S_MAX = 1.0
"""A decision that had begun when the change came into force may be recorded as much later."""
ANSWER = f"Open: {BLOCKER['finding_id']}. Decided: {DECISION['text']}."


def play(scene: Scene, stage: Stage) -> None:
    """Play it."""
    bind(stage, WHO)
    thread = stage.thread("Release 1.4", "ci", WHO)
    last = _work(scene, stage, thread)
    version = _shorten(scene, stage)
    posted = stage.ci.post(thread, OUTLOOK, to=[WHO])
    wake_id = posted["wakes"][0]["wake_id"]
    scene.tell("ci", f"asks builder: {OUTLOOK}", f"message {posted['seq']}, wake opened")
    _crash(scene, stage, wake_id)
    _hang(scene, stage, wake_id)
    spawned = nth_run(scene, stage, wake_id, 3)
    answer = hear(scene, stage, thread, WHO, last + 1)
    _show_summary(scene, stage, thread, spawned["run_id"])
    scene.tell(WHO, f"answers: {answer['body']}", f"message {answer['seq']}")
    scene.expect("it answers out of the summary", answer["body"] == ANSWER, answer["body"])
    stage.read(scene, WHO, wake_id)
    ended = over(scene, stage, spawned)
    scene.tell("bridge", "its process ends by itself", f"{describe(ended)}; no process of it is left")
    _check(scene, stage, wake_id, version)


def _work(scene: Scene, stage: Stage, thread: str) -> int:
    """What builder did while it lived, and its end; the last message's seq."""
    with stage.stack.client(WHO, SESSION) as own:
        own.heartbeat(SESSION, runtime="command", resumable=True, status="active")
        own.post(thread, str(BLOCKER["text"]), kind="event", event=dict(BLOCKER), to=["ci"])
        last = int(own.post(thread, DECISION["text"], kind="event", event=dict(DECISION), to=["ci"])["seq"])
        stage.ci.move_cursor(thread, last)
        scene.tell(
            WHO, f"reports {BLOCKER['finding_id']}, and decides: {DECISION['text']}", f"messages 1 to {last}"
        )
        own.heartbeat(SESSION, runtime="command", resumable=True, status="offline")
    scene.tell(WHO, "its process has ended", f"session {SESSION} can be resumed")
    return last


def _shorten(scene: Scene, stage: Stage) -> dict[str, Any]:
    """The SRE's change; the version of the policy that it made."""
    with stage.stack.client("sre", role="operator") as sre:
        before = sre.policy()["policy"]["resume"]["accept_timeout_s"]
        set_ = sre.set_policy(
            {"resume": {"accept_timeout_s": SHORT_S}}, "nobody shall wait for a session that hangs"
        )
        version: dict[str, Any] = sre.policy_history()["items"][0]
    now = set_["policy"]["resume"]["accept_timeout_s"]
    scene.expect("the deadline is shorter", now == SHORT_S < before, now)
    scene.tell(
        "sre",
        f"bridge policy set resume.accept_timeout_s={SHORT_S:g}, while it runs",
        f"was {before:g}; version {version['version']}, by {version['author']}",
    )
    return version


def _crash(scene: Scene, stage: Stage, wake_id: str) -> None:
    run = over(scene, stage, nth_run(scene, stage, wake_id, 1))
    told = (run["rung"], run["result"], run["exit_status"])
    scene.expect("the first process ends by itself, with 1", told == ("resume", "crashed", 1), describe(run))
    scene.tell("bridge", "try 1: resumes it; its process ends unread", describe(run))


def _hang(scene: Scene, stage: Stage, wake_id: str) -> None:
    run = nth_run(scene, stage, wake_id, 2)
    scene.tell("bridge", "try 2: resumes it; its process says nothing", describe(run))
    run = over(scene, stage, run)
    told = (run["rung"], run["result"])
    scene.expect("the second process is ended on its deadline", told == ("resume", "killed"), describe(run))
    scene.tell("bridge", f"ends it after {SHORT_S:g} s: {describe(run)}", str(run["why"]))


def _show_summary(scene: Scene, stage: Stage, thread: str, run_id: str) -> None:
    summary = stage.operator.summary(thread)
    known = [one["finding_id"] for one in summary["open_findings"]]
    decided = [one["text"] for one in summary["decisions"]]
    scene.expect(
        "the summary has the finding and the decision",
        (known, decided) == ([BLOCKER["finding_id"]], [DECISION["text"]]),
        (known, decided),
    )
    began = started(stage, WHO).first("began", run=run_id)()
    lines = str(began["prompt"]).splitlines() if began else []
    scene.expect(
        "its prompt carries the summary",
        any(str(BLOCKER["text"]) in line for line in lines) and f"> {DECISION['text']}" in lines,
        lines,
    )
    scene.tell("bridge", "try 3: starts it anew; its prompt on stdin sums up what went before:")
    scene.quote([lines[0], "...", *lines[lines.index("To read:") :]])


def _check(scene: Scene, stage: Stage, wake_id: str, version: dict[str, Any]) -> None:
    story = stage.operator.explain(wake_id)
    climbed = rungs(story)
    scene.expect("resumed twice, then spawned", climbed == ["resume", "resume", "spawn"], climbed)
    made = runs(stage, wake=wake_id)
    scene.expect("never two processes at once", apart(made), [describe(run) for run in made])
    late = under_another(story, version)
    scene.expect(f"the change was in force within {IN_FORCE_S_MAX:g} s", not late, late)
    given = deadline_s(story, made[1]["attempt_id"])
    scene.expect("the second try had the new deadline", given == SHORT_S, given)
    scene.tell(
        "demo", f"resume, resume, spawn: the new deadline of {SHORT_S:g} s held", _last_word(story, version)
    )


def _last_word(story: Story, version: dict[str, Any]) -> str:
    old_s = last_by_old_s(story, version)
    if old_s is None:
        return "every decision was made by the new policy"
    return f"the last decision by the old policy was recorded {old_s:.2f} s after the change"


def last_by_old_s(story: Story, version: dict[str, Any]) -> float | None:
    """How long after the change the wake was decided about by another policy for the last time; None: never."""
    old = [step["at"] for step in story["steps"] if step["policy_version"] != version["policy_version"]]
    return seconds(version["created_at"], max(old)) if old else None


def apart(made: list[Run]) -> bool:
    """Whether each of the runs, the oldest first, had ended before the next one began."""
    return all(seconds(run["ended_at"], later["begun_at"]) >= 0 for run, later in pairwise(made))


def under_another(story: Story, version: dict[str, Any]) -> list[str]:
    """The wake's steps that were decided by another policy than this one, when it must have been in force."""
    must = datetime.fromisoformat(version["created_at"]) + timedelta(seconds=IN_FORCE_S_MAX + UNDER_WAY_S_MAX)
    return [
        f"{step['event']} at {step['at']} by version {step['policy_version']}"
        for step in story["steps"]
        if datetime.fromisoformat(step["at"]) > must and step["policy_version"] != version["policy_version"]
    ]


def deadline_s(story: Story, attempt_id: str) -> float | None:
    """How long the attempt was given to be accepted."""
    for step in story["steps"]:
        detail = step["detail"] or {}
        if step["to_state"] == "waiting" and detail.get("attempt_id") == attempt_id:
            return round(seconds(step["at"], detail["due_at"]), 3)
    return None
