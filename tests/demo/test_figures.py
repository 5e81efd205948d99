"""The figures at the end of the demo: counted from what the API says."""

from typing import Any

import pytest

from bridge.demo.figures import figures, percentile, seconds, spread

BORN = "2026-03-01T12:00:00.000000+00:00"


def story(state: str, *accepted: str | None, updated_at: str = BORN) -> dict[str, Any]:
    attempts = [{"accepted_at": at} for at in accepted]
    return {"wake": {"state": state, "created_at": BORN, "updated_at": updated_at}, "attempts": attempts}


def at(second: float) -> str:
    return f"2026-03-01T12:00:{second:09.6f}+00:00"


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, 0.0),  # nothing took any time
        ([7.0], 0.5, 7.0),
        ([7.0], 0.95, 7.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([1.0, 2.0, 3.0], 0.5, 2.0),
        ([float(n) for n in range(1, 21)], 0.95, 19.0),
        ([float(n) for n in range(1, 22)], 0.95, 20.0),
    ],
)
def test_a_percentile_is_one_of_the_values(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_a_spread_does_not_need_sorted_values() -> None:
    found = spread([3.0, 1.0, 2.0])
    assert (found.n, found.p50_s, found.max_s) == (3, 2.0, 3.0)


def test_times_are_told_apart_across_their_spellings() -> None:
    assert seconds("2026-03-01T12:00:00Z", "2026-03-01T13:00:01.5+01:00") == 1.5


def test_wakes_are_counted_by_their_outcome() -> None:
    found = figures([{"last_seq": 3}, {"last_seq": 4}], [story("acked"), story("acked"), story("failed")])
    assert (found.threads, found.messages) == (2, 7)
    assert found.wakes == {"acked": 2, "failed": 1}


def test_message_to_wake_ends_with_the_first_attempt_that_was_accepted() -> None:
    found = figures([], [story("acked", None, at(4), at(9))])
    assert (found.message_to_wake.n, found.message_to_wake.p50_s) == (1, 4.0)
    assert found.attempts == 3


def test_a_wake_that_was_never_accepted_has_no_time_to_it() -> None:
    assert figures([], [story("failed", None)]).message_to_wake.n == 0


def test_only_what_was_read_has_a_time_to_reading() -> None:
    found = figures([], [story("acked", updated_at=at(2)), story("failed", updated_at=at(30))])
    assert (found.message_to_read.n, found.message_to_read.max_s) == (1, 2.0)


def test_the_rows_say_what_the_data_has() -> None:
    found = figures([{"last_seq": 5}], [story("acked", at(1), updated_at=at(2))])
    assert found.rows()[0] == "messages         5 in 1 threads"
    assert "1 acked" in found.rows()[1]
    assert found.data()["message_to_wake"]["p50_s"] == 1.0
