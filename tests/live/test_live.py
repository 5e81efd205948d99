"""CI's part of the soak: a few wakes into each client, with a human at each terminal, and everything accounted for."""

import random

import pytest

from tests.agents.homes import missing
from tests.agents.offline import Offline, why_not
from tests.live.cells import CELLS
from tests.live.report import broken, sections
from tests.live.soak import soak

WAKES = 10


@pytest.mark.needs("tmux", "setsid")
def test_wakes_come_into_real_terminals_and_leave_the_human_alone() -> None:
    refused = why_not() or missing()
    if refused:
        pytest.skip(refused)
    seed = random.SystemRandom().randrange(10**6)
    print(f"live seed {seed}")
    network = Offline()
    with network.inside():
        outcomes = soak(CELLS, WAKES, seed=seed, say=print)
    network.close()
    print(*sections(outcomes, seed=seed, seconds=0).values())
    assert broken(outcomes) == []
    assert sum(one.account.prompts for one in outcomes) > 0
