"""Scopes are laid over each other, the nearest wins, and no change makes a policy that is none."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.core.errors import InvalidArgument
from bridge.core.policy import Policy, from_data
from bridge.core.policy_layers import (
    SCOPES,
    Data,
    Layer,
    change,
    check_scope,
    differences,
    flat,
    plain,
    stack,
    view,
)

SEED = Policy()


def layers(default: Data | None = None, workspace: Data | None = None) -> dict[str, Layer]:
    given = {"default": default or {}, "workspace": workspace or {}}
    return {scope: Layer(scope, version=bool(data), data=data) for scope, data in given.items()}


def changed(given: Data, *, held: Data | None = None, whole: bool = False) -> Data:
    return change(SEED, layers(workspace=held), "workspace", given, whole=whole)


def test_the_nearest_scope_that_sets_a_number_wins_and_says_that_it_did() -> None:
    found = stack(SEED, layers({"recheck_s": 7, "live": {"tries": 1}}, {"live": {"tries": 2}}))
    assert (found.policy.recheck_s, found.policy.live.tries, found.policy.live.accept_timeout_s) == (7, 2, 8)
    told = {name: found.sources[name] for name in ("recheck_s", "live.tries", "live.accept_timeout_s")}
    assert told == {"recheck_s": "default", "live.tries": "workspace", "live.accept_timeout_s": "built-in"}
    assert set(found.sources) == set(flat(plain(SEED)))


def test_what_the_bridge_was_started_with_is_named_where_it_differs() -> None:
    found = stack(from_data({"lease_s": 30}), layers())
    assert (found.sources["lease_s"], found.sources["tick_s"], found.policy.version) == (
        "file",
        "built-in",
        0,
    )
    assert view(from_data({"lease_s": 30}), layers(), "default").seed == "file"


def test_every_change_of_any_scope_is_another_version_of_the_policy() -> None:
    several = {"default": Layer("default", 3), "workspace": Layer("workspace", 4)}
    assert stack(SEED, several).policy.version == 7


def test_a_change_is_laid_over_what_the_scope_sets_and_null_takes_away() -> None:
    held = {"lease_s": 30.0, "live": {"tries": 1, "read_timeout_s": 60.0}}
    assert changed({"recheck_s": 7}, held=held) == held | {"recheck_s": 7.0}
    assert changed({"live": {"tries": 2}}, held=held)["live"] == {"tries": 2, "read_timeout_s": 60.0}
    assert changed({"live": {"tries": None}, "lease_s": None}, held=held) == {
        "live": {"read_timeout_s": 60.0}
    }
    assert changed({"live": None}, held=held) == {"lease_s": 30.0}
    assert changed({"recheck_s": 7}, held=held, whole=True) == {"recheck_s": 7.0}
    assert changed({"spawn": None, "tick_s": None}, held=held) == held


def test_what_is_no_number_is_set_too() -> None:
    data = changed({"hosts": ["a", "b"], "spawn_beside_live": True})
    assert data == {"hosts": ["a", "b"], "spawn_beside_live": True}
    assert stack(SEED, layers(workspace=data)).policy.hosts == ("a", "b")
    assert view(SEED, layers(workspace=data), "workspace").policy["hosts"] == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "path", "says"),
    [
        ({"leese_s": 3}, "leese_s", "did you mean lease_s?"),
        ({"leese_s": None}, "leese_s", "did you mean lease_s?"),
        ({"live": {"trys": 1}}, "live.trys", "did you mean live.tries?"),
        ({"live.tries": 1}, "live.tries", "is not a policy field"),
        ({"live": 3}, "live.", "must be an object"),
        ({"lease_s": {}}, "lease_s", "must be a number"),
        ({"live": {"tries": {"x": 1}}}, "live.tries", "a whole number"),
        ({"version": 9}, "version", "cannot be set"),
        ({"tick_s": 1}, "tick_s", "cannot be changed while it runs"),
        ({"turns_max": 2.5}, "turns_max", "a whole number"),
        ({"lease_s": 5}, "lease_s", "at least 6"),
        ({"spawn_beside_live": 1}, "spawn_beside_live", "true or false"),
        ({"hosts": "a"}, "hosts", "list of names"),
        ({"live": {"tries": 90}}, "wake_life_s_max", "the ladder can take"),
        ({"x" * 10_000: 1}, "x" * 64, "is not a policy field"),
    ],
)
def test_what_would_be_no_policy_is_refused_by_name(given: dict[str, Any], path: str, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says) as refused:
        changed(given)
    assert refused.value.errors[0]["path"] == path
    assert len(refused.value.detail) < 300


def test_a_scope_may_not_make_another_one_wrong() -> None:
    both = layers(workspace={"live": {"tries": 9}})
    with pytest.raises(InvalidArgument, match=r"the ladder can take .* \(by what the scope workspace sets\)"):
        change(SEED, both, "default", {"wake_life_s_max": 800})


def test_what_does_not_fit_its_ground_any_more_is_left_out_and_said() -> None:
    seed = from_data(
        {"live": {"tries": 1}, "resume": {"tries": 0}, "spawn": {"tries": 0}, "wake_life_s_max": 200}
    )
    both = layers({"recheck_s": 7}, {"live": {"tries": 50}})
    found = stack(seed, both)
    assert (found.policy.recheck_s, found.policy.live.tries) == (7, 1)
    assert "the ladder can take" in found.unfit["workspace"]
    assert view(seed, both, "workspace").unfit == found.unfit["workspace"]
    assert view(seed, both, "default").unfit is None
    mended = change(seed, both, "workspace", {"live": {"tries": 2}})
    assert mended == {"live": {"tries": 2}}, "it can be mended"


def test_names_that_a_later_version_stored_are_passed_over_and_kept() -> None:
    held = {"lease_s": 30.0, "from_the_future": 1, "live": {"tries": 1, "glow": 2}}
    assert stack(SEED, layers(workspace=held)).policy.lease_s == 30
    assert changed({"recheck_s": 7}, held=held) == held | {"recheck_s": 7.0}


def test_differences_name_each_number_that_is_set_otherwise() -> None:
    before, after = {"lease_s": 30.0, "live": {"tries": 1}}, {"live": {"tries": 2}, "hosts": ["a"]}
    assert differences(before, after) == {
        "hosts": (None, ["a"]),
        "lease_s": (30.0, None),
        "live.tries": (1, 2),
    }


@pytest.mark.parametrize("scope", ["agent:bob", "runtime:pty", "thread_type:workflow"])
def test_scopes_that_are_not_in_force_are_refused_with_what_to_do(scope: str) -> None:
    with pytest.raises(InvalidArgument, match=f"the scope {scope} comes later: use workspace"):
        check_scope(scope)
    with pytest.raises(InvalidArgument, match="use default or workspace"):
        check_scope("nonsense")
    for known in SCOPES:
        check_scope(known)
