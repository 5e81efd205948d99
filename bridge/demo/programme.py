"""The programme: which scenes in which order, what must be before the first, and the figures after the last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.core.states import WAKE_OPEN
from bridge.demo.figures import figures
from bridge.demo.scenes import circles, dead, dormant, human, kills, ladder, review, unheard
from bridge.demo.stage import Stage, describe, sum_up
from bridge.demo.timeline import Timeline
from bridge.demo.watch import Scene

SEATED_S_MAX = 25.0
ENDED_S_MAX = 20.0
THREADS_MAX = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """One scene. `beside`: it takes its time, and is played beside those after it. `alone`: nothing is beside it."""

    number: int
    title: str
    play: Callable[[Scene, Stage], None]
    beside: bool = False
    alone: bool = False


SCENES = (
    Entry(
        3,
        "A terminal never takes the line: operator and sender are told why (beside the next ones)",
        unheard.play,
        beside=True,
    ),
    Entry(1, "A finding is posted, fixed and verified", review.play),
    Entry(2, "A human is typing: the wake waits, then goes through", human.play),
    Entry(4, "Two agents go in circles: blocked, unblocked, awake again", circles.play),
    Entry(5, "The host worker is killed in mid-delivery, then the broker", kills.play, alone=True),
    Entry(6, "Nobody is at the terminal: executor is resumed, reads, and answers", dormant.play),
    Entry(7, "An SRE shortens a deadline; builder is resumed twice in vain, then started anew", ladder.play),
    Entry(8, "Thirty messages for an agent that cannot start: a few tries, one notice, all read", dead.play),
)


def seat(scene: Scene, stage: Stage) -> None:
    """Wait until everybody sits at a terminal that the host worker knows, with its program at its prompt."""
    names = sorted(stage.cast.players)

    def attached() -> list[str]:
        return sorted(a["agent_id"] for a in stage.operator.agents()["items"] if a["seat_attached"])

    scene.until(
        f"{sum_up(names)} are seated",
        lambda: attached() == names and all(stage.cast.ledger(name).entries("began") for name in names),
        SEATED_S_MAX,
        lambda: f"attached: {attached()}",
    )
    scene.tell("demo", f"{sum_up(names)} sit at their terminals", "real processes under `bridge run`")


def close(scene: Scene, stage: Stage, timeline: Timeline) -> None:
    """Every wake has ended; the figures, and where to look next."""

    def still() -> list[str]:
        return [describe(wake) for wake in stage.wakes() if wake["state"] in WAKE_OPEN]

    scene.until("every wake has ended", lambda: not still(), ENDED_S_MAX, still)
    stories = [stage.operator.explain(wake["wake_id"]) for wake in stage.wakes()]
    threads: dict[str, Any] = stage.operator.call("GET", "/v1/threads", params={"limit": THREADS_MAX})
    found = figures(threads["items"], stories)
    timeline.page("Figures, from the API's own data", found.rows(), found.data())
    facts = stage.stack.facts
    rows = [
        "bridge up                 the same stack for daily use; then: bridge run --agent NAME -- YOUR-AGENT",
        "bridge demo --keep        the same play, then the stack goes on: the API under /docs, and Flower",
        f"                          (this time {facts['url']}/docs and {facts['flower_url']})",
        "bridge wake explain ID    the whole story of a wake: what happened, who did it, and why",
        "README.md, docs/          two agents with nothing but curl; every behaviour; why it is built so",
    ]
    timeline.page("Next", rows, {"docs": f"{facts['url']}/docs", "flower": facts["flower_url"]})
