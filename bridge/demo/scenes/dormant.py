"""Scene 6: `executor`'s terminal is closed. The bridge starts a process that resumes it, reads, answers, and ends."""

from __future__ import annotations

from bridge.demo.brain import RED_BUILD
from bridge.demo.stage import Stage
from bridge.demo.starts import describe, follow, hear, in_use, nth_run, over, rungs, started
from bridge.demo.watch import Scene

WHO = "executor"
ASLEEP_S_MAX = 10.0
LINES = 2


def play(scene: Scene, stage: Stage) -> None:
    """Play it."""
    session_id = _fall_asleep(scene, stage)
    thread = stage.thread("Builds that failed", "ci", WHO)
    posted = stage.ci.post(thread, RED_BUILD, to=[WHO])
    wake_id = posted["wakes"][0]["wake_id"]
    scene.tell("ci", f"posts to executor: {RED_BUILD}", f"message {posted['seq']}, wake opened")
    follow(scene, stage, thread, posted["seq"], WHO)
    run = nth_run(scene, stage, wake_id, 1)
    _show_prompt(scene, stage, run["run_id"])
    answer = hear(scene, stage, thread, WHO, posted["seq"])
    scene.expect(
        "the answer is a reply to the question",
        answer["in_reply_to"] == posted["message_id"],
        answer["in_reply_to"],
    )
    scene.tell(WHO, f"answers: {answer['body']}", f"message {answer['seq']}")
    run = over(scene, stage, run)
    told = (run["rung"], run["result"], run["exit_status"], run["session_id"])
    scene.expect("its own session was resumed", told == ("resume", "exited", 0, session_id), told)
    scene.until("every slot is free again", lambda: not in_use(stage), ASLEEP_S_MAX, lambda: in_use(stage))
    scene.tell(
        "bridge", "its slot is free again, no process of it is left", f"{run['run_id']}: {describe(run)}"
    )
    wake = stage.read(scene, WHO, wake_id)
    climbed = rungs(stage.operator.explain(wake_id))
    scene.expect("one try on one rung was enough", climbed == ["resume"], climbed)
    scene.tell("bridge", f"executor's wake is {wake['state']} after one try", "on the rung: resume")


def _fall_asleep(scene: Scene, stage: Stage) -> str:
    """Close its terminal; its session, which can be resumed."""
    session_id = str(stage.agent(WHO)["seat_session_id"])
    process = stage.cast.players[WHO].process
    process.terminate()

    def asleep() -> bool:
        agent = stage.agent(WHO)
        gone = process.poll() is not None and not agent["seat_attached"]
        return gone and agent["seat_status"] == "offline"

    scene.until(
        "executor's terminal is closed, and the bridge knows", asleep, ASLEEP_S_MAX, lambda: stage.agent(WHO)
    )
    scene.tell(WHO, "its terminal is closed, its process has ended", f"its preset can resume {session_id}")
    return session_id


def _show_prompt(scene: Scene, stage: Stage, run_id: str) -> None:
    began = started(stage, WHO).first("began", run=run_id)()
    prompt = str(began["prompt"]) if began else ""
    asked = f"> {RED_BUILD}"
    scene.expect("its prompt names the question", asked in prompt.splitlines(), prompt)
    lines = prompt.splitlines()
    scene.tell(
        WHO, "was given a prompt on stdin", f"{len(lines)} lines, {len(prompt.encode())} bytes; of these:"
    )
    scene.quote([*lines[:LINES], "...", *lines[lines.index("To read:") :]])
