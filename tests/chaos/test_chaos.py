"""CI's part of the chaos run: two processes are killed under load, and everything is accounted for."""

from __future__ import annotations

import random

from tests.chaos.run import chaos


def test_nothing_is_lost_when_the_host_worker_and_the_database_are_killed_under_load() -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"chaos seed {seed}")
    account = chaos(["host-local", "postgres"], seed=seed, say=print)
    assert account.broken == []
    assert account.killed == ["host-local", "postgres"]
    assert account.posted > 0
    assert account.wakes["acked"] > 0
