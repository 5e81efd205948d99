"""What the host may ask, and what it is told.

Rules of this file:
- Two questions only: `status`, and `inject` of one line. Never raw keys, never the screen: the agent runs
  under the same user and could dial too.
- An answer goes to whoever asks with the key now. A host that died in mid-injection is answered when it
  comes back.
- A malformed question is answered with a refusal, or dropped; it never stops the relay.
"""

from dataclasses import dataclass
from typing import Final

from bridge.terminal.inject import Injector
from bridge.terminal.link import Link, Message
from bridge.terminal.terms import Outcome, Request, Result, Step, View, Why
from bridge.terminal.verdict import Seen

HUMAN_QUIET_S: Final = 1.0
DEADLINE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Situation:
    """What `status` tells besides the view."""

    view: View
    draining: bool


class Control:
    """Answers the host and tells it what happens by itself."""

    def __init__(self, link: Link, injector: Injector) -> None:
        """Speak through this link for this injector."""
        self._link = link
        self._injector = injector
        self._asked: list[int] = []
        self._told: Seen | None = None
        self._named: str | None = None

    def handle(self, message: Message, situation: Situation, now: float) -> None:
        """Act on one message of the host's."""
        number = message.get("id")
        if not isinstance(number, int):
            return
        if message.get("op") == "status":
            self._link.send(_status(number, situation), now)
        elif message.get("op") == "inject":
            self._inject(number, message, now)

    def stepped(self, step: Step, now: float) -> None:
        """Tell the outcome, if there is one, to everybody who asked for it."""
        if step.outcome is not None:
            for number in self._asked:
                self._answer(number, step.outcome, now)
            self._asked.clear()

    def lost(self) -> None:
        """The host is gone: forget what has touched nothing; what is under way is finished and remembered."""
        self._asked.clear()
        self._told = self._named = None
        self._injector.abandon_waiting()

    def tell(self, view: View, now: float) -> None:
        """Say when the box becomes ready and when the agent begins to work."""
        seen = view.verdict.seen
        ready = seen is Seen.EMPTY and view.stable_s >= self._injector.settled_s
        if not self._injector.holding and seen is not self._told and (ready or seen is Seen.BUSY):
            event = "ready" if ready else "busy"
            if self._link.send({"op": "event", "event": event}, now):
                self._told = seen

    def named(self, native_id: str | None, now: float) -> None:
        """Say what the program calls its session, when that is new to the host."""
        if native_id not in (None, self._named) and self._link.send(
            {"op": "native", "native_id": native_id}, now
        ):
            self._named = native_id

    def accepted(self, outcome: Outcome, now: float) -> None:
        """Say that a line that was left open has been seen taken; whoever asks again is told so besides."""
        self._link.send({"op": "accepted", "key": outcome.key, "by": outcome.by.value}, now)

    def human(self, idle_s: float | None, now: float) -> None:
        """Say that a human has begun to type, when it was quiet before."""
        if idle_s is None or idle_s >= HUMAN_QUIET_S:
            self._link.send({"op": "event", "event": "human"}, now)

    def exited(self, status: int, now: float) -> None:
        """Say that the agent is gone."""
        self._link.send({"op": "event", "event": "exited", "status": status}, now)

    def _inject(self, number: int, message: Message, now: float) -> None:
        request = _request(message)
        if request is None:
            self._answer(number, Outcome(str(message.get("key", "")), Result.NOT_TOUCHED, Why.INVALID), now)
            return
        outcome = self._injector.request(request, now)
        if outcome is None:
            self._asked.append(number)
        else:
            self._answer(number, outcome, now)

    def _answer(self, number: int, outcome: Outcome, now: float) -> None:
        answer: Message = {"op": "result", "id": number, "key": outcome.key, "result": outcome.result.value}
        answer |= {
            "why": outcome.why.value,
            "ms": outcome.ms,
            "enters": outcome.enters,
            "by": outcome.by.value,
        }
        self._link.send(answer, now)


def _status(number: int, situation: Situation) -> Message:
    view = situation.view
    return {
        "op": "status",
        "id": number,
        "screen": view.verdict.seen.value,
        "human_idle_s": None if view.human_idle_s is None else round(view.human_idle_s, 3),
        "stopped": view.stopped,
        "draining": situation.draining,
    }


def _request(message: Message) -> Request | None:
    key, text = message.get("key"), message.get("text")
    if not isinstance(key, str) or not key or not isinstance(text, str):
        return None
    times: list[float] = []
    for name, default in (("quiet_s", 0.0), ("wait_s", 0.0), ("deadline_s", DEADLINE_S)):
        value = message.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= float("inf"):
            return None
        times.append(float(value))
    quiet_s, wait_s, deadline_s = times
    return Request(
        key,
        text,
        quiet_s=quiet_s,
        wait_s=wait_s,
        deadline_s=deadline_s,
        look_first=message.get("look_first") is True,
        may_type=message.get("may_type", True) is True,
        force=message.get("force") is True,
    )
