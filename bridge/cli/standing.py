"""How a wake stands, in one line with its countdown: what it waits for, and what happens when.

All times are the database's, as the API answers them: `now`, `due_at`, `since`, `held_until`, `dies_at`.
"""

from __future__ import annotations

from typing import Any

from bridge.cli.words import ahead, clock, seconds_between, span, why

Json = dict[str, Any]
FRESH_S = 1.0
"""What was seen so recently is said as it was seen."""
_WAITS_FOR = {
    "first": "its time",
    "listening": "the agent listens, and may read by itself",
    "backoff": "a pause before the same rung is tried again",
    "fallback": "the next try",
    "human": "a human types there",
    "busy": "its program is in the middle of something",
    "rate": "too many wakes a minute for this agent here",
    "slot": "another attempt or run, or a slot of its host",
    "seat": "a session of the agent",
    "host": "its host",
    "paused": "it is paused",
    "held": "its session is held",
    "unreachable": "the agent did not answer its last wakes",
    "slowed": "the conversation goes in circles",
}
_SEEN = frozenset({"human", "busy"})
"""What a hand saw at the terminal, and said in its own words."""


def stands(wake: Json) -> str:
    """`waits: a human typed 3 s ago; looks again in 4 s; gives the terminal up in 41 s; its life ends in 28 min`."""
    now, due = wake["now"], ahead(wake["due_at"], wake["now"])
    if wake["state"] == "pending":
        parts = [f"waits: {_waits_for(wake)}", f"looks again {due}"]
        if wake["reason"] == "human":
            parts.append(f"gives the terminal up in {span(wake['deferred_left_s'])}")
        parts += _held(wake)
        return "; ".join([*parts, f"its life ends {ahead(wake['dies_at'], now)}", *_last(wake)])
    if wake["state"] == "waiting":
        read = f"to be read up to {wake['offered_seq']}" if wake["accepted_at"] else "to be seen to be taken"
        return "; ".join([f"{read}, {due} at the latest", *_last(wake)])
    return why(wake["why"])


def _waits_for(wake: Json) -> str:
    reason = wake["reason"]
    if reason not in _SEEN or not wake["why"]:
        return _WAITS_FOR.get(reason, str(reason))
    seen_s = seconds_between(wake["since"], wake["now"]) if reason == "human" else 0.0
    return why(wake["why"]) + (f" (seen {span(seen_s)} ago)" if seen_s > FRESH_S else "")


def _held(wake: Json) -> list[str]:
    if wake["held_until"] is None:
        return []
    until = wake["held_until"]
    return [f"{why(wake['held_by'])} holds its session until {clock(until)} ({ahead(until, wake['now'])})"]


def _last(wake: Json) -> list[str]:
    told = wake["why"] and not (wake["state"] == "pending" and wake["reason"] in _SEEN)
    return [f"last: {why(wake['why'])}"] if told else []
