"""What a scene says of a wake: its way in short, and its policy in a table."""

from typing import Any

from bridge.core.policy import Policy
from bridge.demo.numbers import POLICY, table
from bridge.demo.stage import describe, path, sum_up


def story(*states: str) -> dict[str, Any]:
    steps = zip([None, *states], states, strict=False)
    return {
        "steps": [{"from_state": old, "to_state": new, "at": f"{n:03}"} for n, (old, new) in enumerate(steps)]
    }


def test_the_way_of_a_wake_is_told_without_its_claims() -> None:
    assert (
        path(story("pending", "delivering", "touching", "waiting", "acked"))
        == "pending>touching>waiting>acked"
    )


def test_how_often_it_was_put_off_stands_where_it_was() -> None:
    told = story("pending", "delivering", "pending", "delivering", "pending", "delivering", "touching")
    assert path(told) == "pending>put off 2 times>touching"


def test_the_way_can_be_told_up_to_a_moment() -> None:
    assert (
        path(story("pending", "delivering", "touching", "waiting", "acked"), "003")
        == "pending>touching>waiting"
    )


def test_a_wake_that_waits_says_for_what() -> None:
    wake = {"agent_id": "planner", "state": "pending", "reason": "human", "why": "a human typed 1 s ago"}
    assert describe(wake) == "planner's wake is pending (human): a human typed 1 s ago"
    assert describe({"agent_id": "planner", "state": "acked", "why": None}) == "planner's wake is acked"


def test_names_make_a_sentence() -> None:
    assert sum_up(["a"]) == "a"
    assert sum_up(["a", "b", "c"]) == "a, b and c"


def test_the_policys_table_has_every_number_and_marks_what_is_not_usual() -> None:
    rows = " ".join(table(POLICY))
    for name in ("live.tries", "turns_max", "spawn_beside_live", "wake_life_s_max"):
        assert name in rows
    assert "* lease_s 6" in rows
    assert "hosts -" in rows
    assert "*" not in " ".join(table(Policy()))
