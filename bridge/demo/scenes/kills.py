"""Scene 5: SIGKILL for the host worker while it delivers, then for the broker. Every wake ends well, typed once.

The moment is caught by asking the API until a wake is `touching`: the first byte may have left. The wake's own story
must say afterwards that its worker vanished; when it was done a moment before the kill, the next message tries again.
"""

from __future__ import annotations

import time
from collections import Counter

from bridge.core.states import WAKE_FINAL
from bridge.demo.stage import Stage, Wake, path, sum_up
from bridge.demo.watch import Scene

AUDIENCE = ["executor", "planner", "reviewer"]
CAUGHT_S_MAX = 5.0
BACK_S_MAX = 20.0
ENDED_S_MAX = 30.0
ROUNDS_MAX = 5
CATCH_EVERY_S = 0.005


def play(scene: Scene, stage: Stage) -> None:
    """Play it."""
    began = time.monotonic()
    thread = stage.thread("Deployments", "ci", *AUDIENCE)
    for number in range(1, ROUNDS_MAX + 1):
        caught = _kill_in_delivery(scene, stage, thread, f"Deployment {number} begins.")
        if caught is None:
            continue
        _kill_broker(scene, stage, thread, f"Deployment {number} is done.")
        _all_end(scene, stage, thread)
        vanished = _vanished(stage, caught)
        if vanished is not None:
            scene.tell("bridge", f"{caught['agent_id']}'s wake outlived its worker: it ended well", vanished)
            break
    else:
        scene.expect(
            "a wake loses its worker while it is typed", met=False, seen=f"{ROUNDS_MAX} rounds without"
        )
    _once(scene, stage, thread, began)


def _kill_in_delivery(scene: Scene, stage: Stage, thread: str, words: str) -> Wake | None:
    """Kill the host worker while a wake is being typed; the wake, or None when all were too fast this time."""
    posted = stage.ci.post(thread, words, to=AUDIENCE)
    mine = {wake["wake_id"] for wake in posted["wakes"]}
    scene.tell("ci", f"posts to {sum_up(AUDIENCE)}: {words}", f"message {posted['seq']}")
    old = stage.stack.pid("host-local")

    def caught() -> list[Wake] | None:
        wakes = [wake for wake in stage.operator.wakes(thread=thread)["items"] if wake["wake_id"] in mine]
        typing = [wake for wake in wakes if wake["state"] == "touching"]
        return typing or ([] if any(wake["state"] not in WAKE_FINAL for wake in wakes) else wakes)

    found = scene.until(
        "a wake is being typed, or all are over", caught, CAUGHT_S_MAX, every_s=CATCH_EVERY_S
    )[0]
    if found["state"] != "touching":
        return None
    stage.stack.kill("host-local")
    killed = time.monotonic()
    scene.tell("demo", f"SIGKILL for the host worker, {found['agent_id']}'s wake is touching", f"pid {old}")
    new = scene.until(
        "the host worker is started again", lambda: stage.stack.back("host-local", old), BACK_S_MAX
    )
    scene.tell("bridge", "starts it again", f"pid {new}, {time.monotonic() - killed:.2f} s later")
    return found


def _kill_broker(scene: Scene, stage: Stage, thread: str, words: str) -> None:
    old = stage.stack.kill("broker")
    began = time.monotonic()
    posted = stage.ci.post(thread, words, to=AUDIENCE)
    took_ms = (time.monotonic() - began) * 1000
    scene.tell("demo", "SIGKILL for the broker", f"pid {old}")
    scene.tell("ci", f"posts at once: {words}", f"message {posted['seq']}, answered in {took_ms:.0f} ms")
    new = scene.until("the broker is started again", lambda: stage.stack.back("broker", old), BACK_S_MAX)
    scene.tell("bridge", "starts it again", f"pid {new}; what it had forgotten, the database knows")


def _all_end(scene: Scene, stage: Stage, thread: str) -> None:
    told: set[str] = set()

    def ended() -> list[Wake] | None:
        wakes = stage.wakes(thread=thread)
        for wake in wakes:
            if wake["state"] in WAKE_FINAL and wake["wake_id"] not in told:
                told.add(wake["wake_id"])
                tries = "1 attempt" if wake["attempts"] == 1 else f"{wake['attempts']} attempts"
                scene.tell(
                    wake["agent_id"],
                    f"its wake up to message {wake['offered_seq']} is {wake['state']}",
                    tries,
                )
        return wakes if all(wake["state"] in WAKE_FINAL for wake in wakes) else None

    def still() -> Counter[str]:
        return Counter(wake["state"] for wake in stage.wakes(thread=thread))

    wakes = scene.until("every wake ends", ended, ENDED_S_MAX, still)
    bad = [wake for wake in wakes if wake["state"] not in ("acked", "already_active")]
    scene.expect(
        "every wake ends well", not bad, [(wake["agent_id"], wake["state"], wake["why"]) for wake in bad]
    )


def _vanished(stage: Stage, wake: Wake) -> str | None:
    """What the wake's own story says of the worker that was gone; None: it had been done a moment before."""
    story = stage.operator.explain(wake["wake_id"])
    lost = [
        s for s in story["steps"] if s["event"] == "due" and s["from_state"] in ("delivering", "touching")
    ]
    return f"{path(story)}; when its lease was over: {lost[0]['why']}" if lost else None


def _once(scene: Scene, stage: Stage, thread: str, began: float) -> None:
    """Nothing was typed twice: nobody saw more lines than it had wakes, and everybody read all."""
    people = {person["agent_id"]: person for person in stage.operator.thread(thread)["participants"]}
    seen = {name: len(stage.cast.ledger(name).woken(began)) for name in AUDIENCE}
    for name in AUDIENCE:
        wakes = [wake for wake in stage.wakes(thread=thread, agent=name) if wake["offered_seq"]]
        scene.expect(f"{name} read everything", people[name]["unread"] == 0, people[name]["unread"])
        said = f"{seen[name]} lines, {len(wakes)} wakes"
        scene.expect(f"{name} saw at most one line a wake", seen[name] <= len(wakes), said)
    counted = ", ".join(f"{name} {count}" for name, count in seen.items())
    scene.tell(
        "demo", "nothing was lost, nothing was typed twice", f"lines that the agents counted: {counted}"
    )
