"""Scene 8: `sleeper`'s program always fails, and thirty messages come for it. The breaker counts its starts, not they.

Every start is counted twice: by the bridge's runs, and by the program itself. Then the program is mended, and the next
probe brings the agent back: it reads everything.
"""

from __future__ import annotations

from typing import Any

from bridge.client import ApiError
from bridge.demo.brain import IS_ANYBODY_THERE, NEWS
from bridge.demo.figures import seconds
from bridge.demo.stage import Stage
from bridge.demo.starts import bind, describe, hear, in_use, needed, over, receipt, runs, started
from bridge.demo.watch import Scene

WHO = "sleeper"
MESSAGES = 30
THREADS = ("Nightly builds", "Coverage", "Benchmarks")
EVERY_S = 0.2
STARTS_MAX = 4
"""Those that the breaker lets through in the first 45 s: at once, and after 3, 6 and 12 s more."""
TOLD_S_MAX = 15.0
PATIENCE_S = 7.0
BACK_S_MAX = 40.0
CAUSE = f"wake_failed:{WHO}"
OPERATORS = "*operators"
READ_ON = "CURSOR_OUT_OF_RANGE"
"""A start that was under way has read meanwhile."""
Place = tuple[str, int]
"""A message, by its thread and seq."""


def play(scene: Scene, stage: Stage) -> None:
    """Play it."""
    bind(stage, WHO)
    threads = [stage.thread(title, "ci", WHO) for title in THREADS]
    told: set[str] = set()
    first, last = _flood(scene, stage, threads, told)
    _breaker(scene, stage, told)
    _people(scene, stage, first, last)
    before = len(runs(stage, agent=WHO))
    needed(stage.folder).touch()
    scene.tell("operator", "mends sleeper's program: the file that it missed is there")
    _sign_of_life(scene, stage, threads[0])
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
    starts, counted = len(runs(stage, agent=WHO)), len(started(stage, WHO).entries("began"))
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
    for who, notices, audience in (
        ("operator", lambda: stage.operator.notices()["items"], OPERATORS),
        ("ci", lambda: stage.ci.inbox()["notices"], "ci"),
    ):

        def mine(notices: Any = notices, audience: str = audience) -> list[dict[str, Any]]:  # noqa: ANN401  a question
            return [n for n in notices() if n["cause"] == CAUSE and n["audience"] == audience]

        found = scene.until(f"{who} is told", mine, TOLD_S_MAX)
        scene.expect(f"{who} has one notice of it, not many", len(found) == 1, found)
        scene.tell(who, f"is told, by one notice to {audience}", f"counted {_times(found[0]['count'])}")
    scene.quote([found[0]["text"]])

    def said() -> list[str]:
        items = [receipt(stage, *place, WHO) for place in places]
        return [f"{item['receipt']} ({item['waits_for'] or item['why'] or '?'})" for item in items]

    scene.until(
        "receipts say what the first and the last message wait for, or why they failed",
        lambda: not any("?" in words for words in said()),
        TOLD_S_MAX,
        said,
    )
    first, last = said()
    scene.tell("ci", f"receipts: its first message is {first}, its last {last}")


def _sign_of_life(scene: Scene, stage: Stage, thread: str) -> None:
    """Nobody needs to wait for a probe that is far away: a call with sleeper's token shows that it lives."""
    probe_at, now = stage.agent(WHO)["probe_at"], runs(stage, agent=WHO)[-1]["now"]
    if probe_at is None:
        return
    wait_s = seconds(now, probe_at)
    if wait_s < PATIENCE_S:
        scene.tell("demo", f"waits for the next probe, in {max(0.0, wait_s):.1f} s")
        return
    with stage.stack.client(WHO) as own:
        try:
            own.move_cursor(thread, 0)
        except ApiError as refused:
            if refused.code != READ_ON:
                raise
            return
    scene.tell(WHO, "calls the bridge: a sign of life", f"the next probe was {wait_s:.0f} s away")


def _back(scene: Scene, stage: Stage, threads: list[str], last: Place, before: int) -> None:
    """The next probe finds a program that works."""

    def unread() -> int:
        people = [stage.operator.thread(thread)["participants"] for thread in threads]
        return sum(p["unread"] for thread in people for p in thread if p["agent_id"] == WHO)

    scene.until("sleeper has read everything", lambda: unread() == 0, BACK_S_MAX, unread)
    answer = hear(scene, stage, last[0], WHO, last[1])
    scene.tell(WHO, f"answers: {answer['body']}", f"message {answer['seq']}")
    made = [over(scene, stage, run) for run in runs(stage, agent=WHO)]
    read = sum(entry["messages"] for entry in started(stage, WHO).entries("read"))
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
