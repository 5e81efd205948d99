"""A policy is refused, by name, unless every number makes sense and the ladder fits a wake's life."""

import math
from dataclasses import replace
from typing import Any

import pytest

from bridge.core.errors import InvalidArgument
from bridge.core.policy import KILL_AFTER_S_MAX, KILL_GRACE_S_MAX, Policy, from_data, to_data, validate


def test_the_defaults_are_valid_and_are_the_designs() -> None:
    policy = Policy()
    validate(policy)
    assert (policy.live.tries, policy.resume.tries, policy.spawn.tries) == (3, 2, 1)
    assert (policy.defer_quiet_s, policy.defer_recheck_s, policy.defer_s_max) == (20, 5, 60)
    assert (policy.turns_max, policy.findings_max, policy.tick_s, policy.lease_s) == (20, 3, 5, 45)


def test_a_policy_survives_the_way_through_data() -> None:
    policy = replace(Policy(), lease_s=30.0, spawn_beside_live=True)
    assert from_data(to_data(policy)) == policy


@pytest.mark.parametrize("number", [-1, math.nan, math.inf, -math.inf, 1e12, 0.5])
@pytest.mark.parametrize("name", ["backoff_s_initial", "recheck_s", "stale_after_s"])
def test_no_duration_is_negative_endless_or_below_a_second(name: str, number: float) -> None:
    with pytest.raises(InvalidArgument) as refused:
        from_data({name: number})
    assert refused.value.errors[0]["path"] == name


@pytest.mark.parametrize(
    "name",
    [
        "wake_life_s_max",
        "defer_recheck_s",
        "recheck_s",
        "tick_s",
        "breaker_s_initial",
        "breaker_s_max",
    ],
)
def test_what_would_fall_due_again_at_once_for_ever_is_at_least_a_second(name: str) -> None:
    with pytest.raises(InvalidArgument, match=name):
        from_data({name: 0})


def test_a_lease_too_short_to_type_in_is_refused() -> None:
    assert from_data({"lease_s": 6}).lease_s == 6
    for lease_s in (0, 1, 5.9):
        with pytest.raises(InvalidArgument, match="lease_s must be at least 6 seconds"):
            from_data({"lease_s": lease_s})


@pytest.mark.parametrize("name", ["turns_max", "findings_max", "fan_out_max", "wakes_per_minute_max"])
def test_a_bound_of_none_at_all_is_refused_nobody_means_it(name: str) -> None:
    assert getattr(from_data({name: 1}), name) == 1
    with pytest.raises(InvalidArgument, match=f"{name} must be at least 1"):
        from_data({name: 0})


@pytest.mark.parametrize("rung", ["live", "resume", "spawn"])
@pytest.mark.parametrize("name", ["accept_timeout_s", "read_timeout_s"])
def test_a_deadline_of_nothing_is_refused(rung: str, name: str) -> None:
    with pytest.raises(InvalidArgument, match=name):
        from_data({rung: {name: 0}})


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"live": {"nonsense": 1}}, "live.nonsense"),
        ({"live": 3}, "live."),
        ({"lease_s": "45"}, "lease_s"),
        ({"lease_s": None}, "lease_s"),
        ({"lease_s": True}, "lease_s"),
        ({"turns_max": 2.5}, "turns_max"),
        ({"spawn_beside_live": 1}, "spawn_beside_live"),
        ({"live": {"tries": 101}}, "live.tries"),
        ({"live": {"tries": 10_000_000}}, "live.tries"),
        ({"recheck_s": 10**400}, "recheck_s"),
        ({"host_slots": -(10**400)}, "host_slots"),
        ({"kill_after_s": KILL_AFTER_S_MAX + 1}, "kill_after_s"),
        ({"kill_grace_s": KILL_GRACE_S_MAX + 1}, "kill_grace_s"),
    ],
)
def test_what_is_wrong_is_named(data: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        from_data(data)
    assert refused.value.errors[0]["path"] == path


def test_a_ladder_that_does_not_fit_the_life_of_a_wake_is_refused() -> None:
    life = Policy().ladder_s
    validate(replace(Policy(), wake_life_s_max=life))
    with pytest.raises(InvalidArgument, match="ladder"):
        validate(replace(Policy(), wake_life_s_max=life - 1))


def test_backoff_and_breaker_double_up_to_their_ends_however_long_it_goes_on() -> None:
    policy = Policy()
    assert [policy.backoff(n).total_seconds() for n in (1, 2, 3, 7, 5000)] == [2, 4, 8, 60, 60]
    minutes = [policy.breaker(n).total_seconds() / 60 for n in (1, 2, 3, 4, 5, 6, 5000)]
    assert minutes == [1, 2, 4, 8, 16, 30, 30]
