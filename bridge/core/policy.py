"""The numbers that steer waking, as one frozen value. Units stand last in each name; every duration is 0 or >= 1 s.

The >= 1 s floor is what lets the keeper look one second ahead and never miss a timer.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from datetime import timedelta
from typing import Any

from bridge.core.content import ContentFilter
from bridge.core.errors import InvalidArgument
from bridge.core.limits import Bucket, CallRates
from bridge.core.states import Rung

NUMBER_MAX = 10_000_000.0
HOST_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
TRIES_MAX = 100
SLOTS_MAX = 64
HOSTS_MAX = 8
PROMPT_BYTES_MIN, PROMPT_BYTES_MAX = 2_048, 65_536
KILL_AFTER_S_MAX, KILL_GRACE_S_MAX = 7 * 24 * 3600.0, 600.0
"""No host starts a run that may last longer."""
LEASE_S_MIN = 6.0
"""A hand gives a lease up 3 s before its end: with less than this nothing would ever be typed."""
AT_LEAST_ONE = (
    "wake_life_s_max",
    "defer_recheck_s",
    "recheck_s",
    "tick_s",
    "kill_after_s",
    "heartbeat_s_max",
    "breaker_s_initial",
    "breaker_s_max",
    *(
        f"{rung}.{name}"
        for rung in ("live", "resume", "spawn")
        for name in ("accept_timeout_s", "read_timeout_s")
    ),
)
"""Timers that would otherwise fall due again at once, for ever."""
RATES = ("posts", "reads", "wakes", "elicitation_requests", "elicitation_responses")
COUNTS_AT_LEAST_ONE = (
    "turns_max",
    "findings_max",
    "fan_out_max",
    "wakes_per_minute_max",
    *(
        f"{kind}_rate.{name}"
        for kind in RATES
        for name in ("agent_per_minute", "agent_burst", "thread_per_minute", "thread_burst")
    ),
)
"""Bounds under which, at 0, every thread would be blocked or nobody woken: who writes 0 means "no bound"."""


@dataclass(frozen=True, slots=True)
class RungLimits:
    """How often a rung is tried, and how long each try may take to be accepted and then read."""

    tries: int
    accept_timeout_s: float
    read_timeout_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of the numbers. Defaults: the first seed's, where it has any; else the design's."""

    live: RungLimits = field(default_factory=lambda: RungLimits(tries=3, accept_timeout_s=8.0))
    resume: RungLimits = field(default_factory=lambda: RungLimits(tries=2, accept_timeout_s=120.0))
    spawn: RungLimits = field(default_factory=lambda: RungLimits(tries=1, accept_timeout_s=120.0))
    backoff_s_initial: float = 2.0
    backoff_s_max: float = 60.0
    read_extension_s_max: float = 900.0
    defer_quiet_s: float = 20.0
    defer_recheck_s: float = 5.0
    defer_s_max: float = 60.0
    hold_s_max: float = 14_400.0  # the longest that a session may be held at a time; 0: never
    recheck_s: float = 5.0
    seat_wait_s: float = 60.0
    lease_s: float = 45.0
    wake_life_s_max: float = 1800.0
    listen_grace_s: float = 2.0
    wakes_per_minute_max: int = 10
    fan_out_max: int = 50
    stale_after_s: float = 43_200.0
    crash_loop_limit: int = 3
    crash_loop_window_s: float = 900.0
    host_slots: int = 8
    agent_slots: int = 2
    kill_after_s: float = 900.0
    kill_grace_s: float = 5.0
    spawn_beside_live: bool = False
    heartbeat_s_max: float = 60.0  # a session that was heard of since has a living process
    hosts: tuple[
        str, ...
    ] = ()  # where wakes may go, in this order, while the agent's own host is not seen or drains
    prompt_bytes_max: int = 16_384
    breaker_s_initial: float = 60.0
    breaker_s_max: float = 1800.0
    turns_max: int = 20
    findings_max: int = 3
    slow_s: float = 30.0
    stall_after_s: float = 3600.0
    tick_s: float = 5.0
    content_filter: ContentFilter = ContentFilter.OFF  # what is done with secrets in what agents write
    posts_rate: CallRates = field(default_factory=lambda: CallRates(6_000, 1_000, 60_000, 10_000))
    reads_rate: CallRates = field(default_factory=lambda: CallRates(30_000, 5_000, 120_000, 20_000))
    wakes_rate: CallRates = field(default_factory=lambda: CallRates(300, 300, 600, 600))
    elicitation_requests_rate: CallRates = field(default_factory=lambda: CallRates(10, 3, 60, 20))
    elicitation_responses_rate: CallRates = field(default_factory=lambda: CallRates(20, 3, 60, 20))
    version: int = 1

    def limits(self, rung: Rung) -> RungLimits:
        """The limits of a rung that tries something; `operator` tries nothing."""
        return {Rung.LIVE: self.live, Rung.RESUME: self.resume, Rung.SPAWN: self.spawn}[rung]

    def rates(self, bucket: Bucket) -> CallRates:
        """How often calls of that kind may be made."""
        return {
            Bucket.POSTS: self.posts_rate,
            Bucket.READS: self.reads_rate,
            Bucket.WAKES: self.wakes_rate,
        }[bucket]

    def backoff(self, tries: int) -> timedelta:
        """How long to wait after the nth failed try: doubling from the first, capped."""
        seconds = min(self.backoff_s_max, self.backoff_s_initial * 2.0 ** min(30, max(0, tries - 1)))
        return timedelta(seconds=seconds)

    def breaker(self, failures: int) -> timedelta:
        """How long the breaker of an unreachable agent stays open after the nth failed wake."""
        seconds = min(self.breaker_s_max, self.breaker_s_initial * 2.0 ** min(30, max(0, failures - 1)))
        return timedelta(seconds=seconds)

    def turns_limit(self, participants: int) -> int:
        """Turns without progress that block a thread of that many participants."""
        return self.turns_max * max(1, participants - 1)

    @property
    def ladder_s(self) -> float:
        """The longest a wake can climb, extensions and deferrals apart, in seconds."""
        total = 0.0
        for rung in (Rung.LIVE, Rung.RESUME, Rung.SPAWN):
            limits = self.limits(rung)
            total += limits.tries * limits.accept_timeout_s
            total += sum(self.backoff(n).total_seconds() for n in range(1, limits.tries))
            total += limits.read_timeout_s if limits.tries else 0.0
        return total


def to_data(policy: Policy) -> dict[str, Any]:
    """The policy as plain data, as the API shows and the database stores it."""
    return asdict(policy)


def from_data(data: dict[str, Any], *, base: Policy | None = None) -> Policy:
    """A valid policy from plain data laid over `base`. Raises InvalidArgument naming the field that is wrong."""
    policy: Policy = _overlay(base or Policy(), data, path="")
    validate(policy)
    return policy


def validate(policy: Policy) -> None:
    """Raise InvalidArgument unless every number is in range and the ladder fits the wake's life."""
    for name, value in _numbers(policy, ""):
        if not 0 <= value <= NUMBER_MAX:
            raise InvalidArgument(f"{name} must be a number from 0 to {NUMBER_MAX:g}", path=name)
        if "_s" in name and 0 < value < 1:
            raise InvalidArgument(f"{name} must be 0 or at least 1 second", path=name)
    _validate_least(policy)
    for rung in Rung:
        if rung is not Rung.OPERATOR and policy.limits(rung).tries > TRIES_MAX:
            raise InvalidArgument(f"{rung}.tries must be at most {TRIES_MAX}", path=f"{rung}.tries")
    _validate_starts(policy)
    if policy.ladder_s > policy.wake_life_s_max:
        detail = (
            f"the ladder can take {policy.ladder_s:g} s, longer than wake_life_s_max "
            f"({policy.wake_life_s_max:g} s): shorten deadlines or tries, or lengthen the life"
        )
        raise InvalidArgument(detail, path="wake_life_s_max")


def _validate_least(policy: Policy) -> None:
    numbers = dict(_numbers(policy, ""))
    for name in AT_LEAST_ONE:
        if numbers[name] < 1:
            raise InvalidArgument(f"{name} must be at least 1 second", path=name)
    for name in COUNTS_AT_LEAST_ONE:
        if numbers[name] < 1:
            raise InvalidArgument(f"{name} must be at least 1", path=name)
    if policy.lease_s < LEASE_S_MIN:
        detail = f"lease_s must be at least {LEASE_S_MIN:g} seconds: with less nothing would ever be typed"
        raise InvalidArgument(detail, path="lease_s")


def _validate_starts(policy: Policy) -> None:
    for name, most in (
        ("host_slots", SLOTS_MAX),
        ("agent_slots", SLOTS_MAX),
        ("kill_after_s", KILL_AFTER_S_MAX),
        ("kill_grace_s", KILL_GRACE_S_MAX),
    ):
        if getattr(policy, name) > most:
            raise InvalidArgument(f"{name} must be at most {most:g}", path=name)
    if not PROMPT_BYTES_MIN <= policy.prompt_bytes_max <= PROMPT_BYTES_MAX:
        detail = f"prompt_bytes_max must be from {PROMPT_BYTES_MIN} to {PROMPT_BYTES_MAX}"
        raise InvalidArgument(detail, path="prompt_bytes_max")
    if len(policy.hosts) > HOSTS_MAX or not all(HOST_NAME.fullmatch(host) for host in policy.hosts):
        raise InvalidArgument(f"hosts must be at most {HOSTS_MAX} names of hosts", path="hosts")


def _numbers(value: Policy | RungLimits | CallRates, prefix: str) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for item in fields(value):
        name, inner = f"{prefix}{item.name}", getattr(value, item.name)
        if isinstance(inner, (RungLimits, CallRates)):
            found += _numbers(inner, f"{name}.")
        elif not isinstance(inner, (bool, tuple, str)):
            found.append((name, float(inner)))
    return found


def _overlay(base: Any, data: Any, path: str) -> Any:  # noqa: ANN401  JSON laid over a dataclass
    if not isinstance(data, dict):
        raise InvalidArgument(f"{path or 'policy'} must be an object", path=path)
    known = {item.name: getattr(base, item.name) for item in fields(base)}
    changed: dict[str, Any] = {}
    for name, value in data.items():
        where = f"{path}{name}"
        if name not in known:
            raise InvalidArgument(f"{where} is not a policy field", path=where)
        changed[name] = _coerce(known[name], value, where)
    return type(base)(**(known | changed))


def _coerce(old: Any, value: Any, where: str) -> Any:  # noqa: ANN401  JSON, checked here
    if is_dataclass(old):
        return _overlay(old, value, f"{where}.")
    if isinstance(old, tuple):
        return _names(value, where)
    if isinstance(old, ContentFilter):
        return _filter(value, where)
    wanted: tuple[type, ...] = (
        (bool,) if isinstance(old, bool) else (int,) if isinstance(old, int) else (int, float)
    )
    if not isinstance(value, wanted) or (isinstance(value, bool) and not isinstance(old, bool)):
        kind = {bool: "true or false", int: "a whole number"}.get(type(old), "a number")
        raise InvalidArgument(f"{where} must be {kind}", path=where)
    if isinstance(value, (int, float)) and abs(value) > NUMBER_MAX:  # before it is too large to be a float
        raise InvalidArgument(f"{where} must be a number from 0 to {NUMBER_MAX:g}", path=where)
    number: Any = value
    return float(number) if isinstance(old, float) else number


def _filter(value: Any, where: str) -> ContentFilter:  # noqa: ANN401  JSON, checked here
    if not isinstance(value, str) or value not in list(ContentFilter):
        raise InvalidArgument(f"{where} must be {' or '.join(ContentFilter)}", path=where)
    return ContentFilter(value)


def _names(value: Any, where: str) -> tuple[str, ...]:  # noqa: ANN401  JSON, checked here
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        raise InvalidArgument(f"{where} must be a list of names", path=where)
    return tuple(value)
