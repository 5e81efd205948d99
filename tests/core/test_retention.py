"""What may be archived: a rule a line."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.core.retention import Line, Standing, digest_of, kept_because
from bridge.core.states import ThreadStatus

BEFORE = datetime(2030, 1, 1, tzinfo=UTC)
OLD = Standing(ThreadStatus.CLOSED, BEFORE - timedelta(microseconds=1), 0, 0, 0, 0)


def test_a_closed_thread_that_is_old_and_on_which_nobody_waits_may_go() -> None:
    assert kept_because(OLD, BEFORE) is None


@pytest.mark.parametrize("status", [status for status in ThreadStatus if status is not ThreadStatus.CLOSED])
def test_a_thread_that_may_go_on_stays(status: ThreadStatus) -> None:
    assert kept_because(replace(OLD, status=status), BEFORE) == "it is not closed"


def test_a_thread_that_changed_at_the_very_moment_stays() -> None:
    assert kept_because(replace(OLD, updated_at=BEFORE), BEFORE) == "it changed since"


def test_a_thread_on_which_one_thing_waits_stays() -> None:
    for waits in (
        replace(OLD, open_wakes=1),
        replace(OLD, open_tries=1),
        replace(OLD, open_runs=1),
        replace(OLD, open_notices=1),
    ):
        assert kept_because(waits, BEFORE) is not None


def test_a_digest_tells_tables_rows_and_their_order_apart() -> None:
    a, b = Line("messages", "{}"), Line("wakes", "{}")
    digests = {digest_of(lines).hex() for lines in ([a], [b], [a, b], [b, a], [a, a], [])}
    assert len(digests) == 6
