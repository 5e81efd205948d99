"""How often calls may be made: the buckets, their rates, and where one stands after a call.

A bucket holds `burst` tokens and fills evenly, `per_minute` of them; a call takes one. Which bucket a call takes from
is data of its route; the rates are policy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

MINUTE_S = 60.0


class Bucket(StrEnum):
    """What is counted together; each agent has one of a kind, and each thread."""

    POSTS = "posts"  # messages and new threads
    READS = "reads"  # all that only looks; and saying what was read
    WAKES = "wakes"  # triggers, forces and retries by hand


@dataclass(frozen=True, slots=True)
class CallRates:
    """The rates of one kind of call: of each agent's bucket, and of each thread's."""

    agent_per_minute: int
    agent_burst: int
    thread_per_minute: int
    thread_burst: int

    @property
    def agent(self) -> Rate:
        """Of an agent's bucket."""
        return Rate(self.agent_per_minute, self.agent_burst)

    @property
    def thread(self) -> Rate:
        """Of a thread's bucket."""
        return Rate(self.thread_per_minute, self.thread_burst)


@dataclass(frozen=True, slots=True)
class Rate:
    """One bucket's numbers."""

    per_minute: int
    burst: int

    @property
    def fill_s(self) -> float:
        """How long an empty bucket takes to be full."""
        return self.burst * MINUTE_S / self.per_minute


@dataclass(frozen=True, slots=True)
class Standing:
    """A bucket after a call has taken from it, or has found it empty: then `wait_s` is more than 0."""

    left: int
    full_in_s: float
    wait_s: float = 0.0

    @property
    def is_refused(self) -> bool:
        """Whether the call has to wait."""
        return self.wait_s > 0


def policy_field(name: str, rate: Rate) -> str:
    """The bucket as an item of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers): so many in such a time."""
    return f'"{name}";q={rate.burst};w={math.ceil(rate.fill_s)}'


def standing_field(name: str, standing: Standing) -> str:
    """The bucket as an item of `RateLimit`: what is left, and when it is full again."""
    return f'"{name}";r={standing.left};t={math.ceil(standing.full_in_s)}'
