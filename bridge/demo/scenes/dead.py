"""Scene 8: `sleeper`'s program always fails, and thirty messages come for it. The breaker counts its starts, not they.

Every start is counted twice: by the bridge's runs, and by the program itself. Then the program is mended, and the next
probe brings the agent back: it reads everything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.demo.brain import IS_ANYBODY_THERE, NEWS
from bridge.demo.figures import seconds
from bridge.demo.stage import Stage
from bridge.demo.starts import bind, describe, hear, in_use, over, receipt, runs
from bridge.demo.watch import Scene

WHO = "sleeper"
MESSAGES = 30
THREADS = ("Nightly builds", "Coverage", "Benchmarks")
EVERY_S = 0.2
STARTS_MAX = 4
"""Those that the breaker lets through in the first 45 s: at once, and after 3, 6 and 12 s more."""
TOLD_S_MAX = 15.0
BACK_S_MAX = 40.0
CAUSE = f"wake_failed:{WHO}"
OPERATORS = "*operators"
Place = tuple[str, int]
"""A message, by its thread and seq."""


def needed(stage: Stage) -> Path:
    """The file without which its program fails."""
    return stage.folder / "sleeper.settings"


def play(scene: Scene, stage: Stage) -> None:
    """Play it."""
    bind(stage, WHO)
    threads = [stage.thread(title, "ci", WHO) for title in THREADS]
    told: set[str] = set()
    first, last = _flood(scene, stage, threads, told)
    _breaker(scene, stage, told)
    _people(scene, stage, first, last)
    before = len(runs(stage, agent=WHO))
    needed(stage).touch()
    scene.tell("operator", "mends sleeper's program: the file that it missed is there")
    _back(scene, stage, threads, last, before)


def _flood(scene: Scene, stage: Stage, threads: list[str], told: set[str]) -> tuple[Place, Place]:
    """Thirty messages in three threads; the first one and the last one, by thread and seq."""
    places: list[Place] = []
    scene.tell(
        "ci", f"posts {MESSAGES} messages to sleeper, in {len(threads)} threads", f"one each {EVERY_S:g} s"
    )
    for number in range(1, MESSAGES + 1):
        words = IS_ANYBODY_THERE if number == MESSAGES else NEWS
        thread = threads[number % len(threads)]
        posted = stage.ci.post(thread, words.format(number=number, count=MESSAGES), to=[WHO])
        places.append((thread, int(posted["seq"])))
        _tell_starts(scene, stage, told, number)
        scene.pause(EVERY_S)
    scene.tell("ci", f"has posted all {MESSAGES}", f"{len(told)} starts until now")
    return places[0], places[-1]


def _tell_starts(scene: Scene, stage: Stage, told: set[str], posted: int) -> None:
    for number, run in enumerate(runs(stage, agent=WHO), 1):
        if run["state"] == "ended" and run["run_id"] not in told:
            told.add(run["run_id"])
            scene.tell("bridge", f"start {number} of sleeper: {run['why']}", f"{posted} messages by now")


def _breaker(scene: Scene, stage: Stage, told: set[str]) -> None:
    """Its first wake has failed by now: the others wait behind the breaker."""

    def unreachable() -> dict[str, Any] | None:
        agent = stage.agent(WHO)
        return agent if agent["unreachable_since"] and not in_use(stage) else None

    agent = scene.until("sleeper is called unreachable", unreachable, TOLD_S_MAX, lambda: stage.agent(WHO))
    _tell_starts(scene, stage, told, MESSAGES)
    starts, counted = len(runs(stage, agent=WHO)), len(stage.started(WHO).entries("began"))
    scene.expect(f"at most {STARTS_MAX} starts for {MESSAGES} messages", 1 <= starts <= STARTS_MAX, starts)
    scene.expect("the program counted the same starts", counted == starts, f"{counted}, not {starts}")
    next_s = seconds(runs(stage, agent=WHO)[-1]["now"], agent["probe_at"])
    scene.tell(
        "bridge",
        f"{starts} starts for {MESSAGES} messages: sleeper is unreachable, its breaker open",
        f"{agent['open_wakes']} wakes wait for its next probe, in {next_s:.1f} s",
    )


def _people(scene: Scene, stage: Stage, *places: Place) -> None:
    """Operator and sender are told in words, once; the receipts of these messages say the same."""
    for who, ask, audience in (
        ("operator", stage.operator.notices, OPERATORS),
        ("ci", stage.ci.inbox, "ci"),
    ):
        said = ask()
        mine = [
            notice
            for notice in said.get("notices", said["items"])
            if notice.get("cause") == CAUSE and notice["audience"] == audience
        ]
        scene.expect(f"{who} has one notice of it", len(mine) == 1, mine)
        scene.tell(who, "is told, by one notice to " + audience, f"counted {_times(mine[0]['count'])}")
    scene.quote([mine[0]["text"]])

    def waits() -> list[dict[str, Any]]:
        return [receipt(stage, *place, WHO) for place in places]

    scene.until(
        "receipts say what the first and the last message wait for",
        lambda: all(item["waits_for"] == "unreachable" for item in waits()),
        TOLD_S_MAX,
        waits,
    )
    first, last = (item["receipt"] for item in waits())
    scene.tell("ci", f"receipts: its first message is {first}, its last {last}", "both wait for: unreachable")


def _back(scene: Scene, stage: Stage, threads: list[str], last: Place, before: int) -> None:
    """The next probe finds a program that works."""

    def unread() -> int:
        people = [stage.operator.thread(thread)["participants"] for thread in threads]
        return sum(p["unread"] for thread in people for p in thread if p["agent_id"] == WHO)

    scene.until("sleeper has read everything", lambda: unread() == 0, BACK_S_MAX, unread)
    answer = hear(scene, stage, last[0], WHO, last[1])
    scene.tell(WHO, f"answers: {answer['body']}", f"message {answer['seq']}")
    made = [over(scene, stage, run) for run in runs(stage, agent=WHO)]
    read = sum(entry["messages"] for entry in stage.started(WHO).entries("read"))
    scene.expect(f"it read all {MESSAGES}", read == MESSAGES, read)
    agent = stage.agent(WHO)
    scene.expect("its breaker is closed", agent["unreachable_since"] is None, agent)
    scene.expect(
        "the probe that found it well was enough", len(made) <= before + 2, [describe(run) for run in made]
    )
    scene.tell(
        "demo",
        f"{MESSAGES} messages: {len(made)} starts in all, 1 notice, everything is read",
        f"the probe that worked: {describe(made[-1])}",
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
