"""What a scene can do: the stack and its clients, the cast, and looking at a wake until it is where it must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.client import Client
from bridge.core.policy import Policy
from bridge.core.states import WAKE_FINAL
from bridge.demo.cast import Cast
from bridge.demo.figures import seconds
from bridge.demo.stack import Stack
from bridge.demo.watch import Scene

WOKEN_S_MAX = 12.0
READ_S_MAX = 12.0
PAGE = 200

Wake = dict[str, Any]
Story = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """`ci` is a program without a terminal that posts; `operator` is the stack's own."""

    stack: Stack
    operator: Client
    ci: Client
    cast: Cast
    policy: Policy

    @property
    def folder(self) -> Path:
        """Where the play keeps its files."""
        return self.stack.data.parent

    def agent(self, name: str) -> dict[str, Any]:
        """An agent's row."""
        found: list[dict[str, Any]] = self.operator.agents()["items"]
        return next(agent for agent in found if agent["agent_id"] == name)

    def thread(self, title: str, *people: str) -> str:
        """A new thread of these, each with its name as its role."""
        members = [{"agent_id": name, "role": name} for name in people]
        return str(self.operator.create_thread(title, members)["thread_id"])

    def wakes(self, **filters: str) -> list[Wake]:
        """All wakes, the oldest first."""
        found: list[Wake] = []
        cursor: str | None = None
        while True:
            page = self.operator.wakes(**filters, limit=PAGE, cursor=cursor)
            found += page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return found[::-1]

    def woken(self, scene: Scene, who: str, wake_id: str, within_s: float = WOKEN_S_MAX) -> Story:
        """Wait until the wake's line was taken by the agent's terminal, and tell it."""

        def ask() -> Story | None:
            story = self.operator.explain(wake_id)
            return story if _accepted_at(story) or story["wake"]["state"] in WAKE_FINAL else None

        story = scene.until(f"{who}'s terminal takes the line of its wake", ask, within_s, self.seen(wake_id))
        at = _accepted_at(story)
        scene.expect(f"{who}'s wake was typed and taken", at is not None, describe(story["wake"]))
        waited_s = seconds(story["wake"]["created_at"], str(at))
        scene.tell(
            who, "is woken: one line appears in its terminal", f"{path(story, str(at))} in {waited_s:.2f} s"
        )
        return story

    def read(self, scene: Scene, who: str, wake_id: str, within_s: float = READ_S_MAX) -> Wake:
        """Wait until the agent has read what it was woken for: its cursor ended the wake."""

        def ask() -> Wake | None:
            wake = self.operator.wake(wake_id)
            return wake if wake["state"] in WAKE_FINAL else None

        wake = scene.until(f"{who}'s wake ends", ask, within_s, self.seen(wake_id))
        scene.expect(f"{who}'s wake ends well", wake["state"] in ("acked", "already_active"), describe(wake))
        return wake

    def seen(self, wake_id: str) -> Any:  # noqa: ANN401  a question to ask when it is too late
        """A question: how the wake is now, in words."""
        return lambda: describe(self.operator.wake(wake_id))


def describe(wake: Wake) -> str:
    """A wake in a few words."""
    why = f": {wake['why']}" if wake.get("why") else ""
    reason = f" ({wake['reason']})" if wake["state"] == "pending" else ""
    return f"{wake['agent_id']}'s wake is {wake['state']}{reason}{why}"


def path(story: Story, up_to: str | None = None) -> str:
    """The states that a wake went through; how often it was put off stands where that was."""
    states: list[str] = []
    put_off = 0
    for step in story["steps"]:
        if up_to is not None and step["at"] > up_to:
            break
        if (step["from_state"], step["to_state"]) == ("delivering", "pending"):
            put_off += 1
        elif step["to_state"] not in ("delivering", *states[-1:]):
            states.append(str(step["to_state"]))
    if put_off:
        states.insert(1, f"put off {put_off} times" if put_off > 1 else "put off once")
    return ">".join(states)


def sum_up(names: Sequence[str]) -> str:
    """Names in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _accepted_at(story: Story) -> str | None:
    times = [str(attempt["accepted_at"]) for attempt in story["attempts"] if attempt.get("accepted_at")]
    return min(times, default=None)
