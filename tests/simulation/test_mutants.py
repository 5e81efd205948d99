"""Each planted bug is caught, by the seed that caught it before; without the bug the same history is sound."""

import json

import pytest

from bridge.simulation.world import play
from tests.simulation.mutants import HUNT, MUTANTS, SEEDS, hunt

RECORDED = json.loads(SEEDS.read_text())
WANTED = {
    "fence not checked",
    "outcome with an old fence taken",
    "> for >= at due",
    "wake not reopened on unblock",
    "SKIP LOCKED by id",
    "clock read before the lock",
    "a second attempt per session",
    "deferral burns a try",
    "raising the target resets tries",
    "an ended wake with unread left not reopened",
    "lease end while touching types again",
    "a tick without its guard",
    "a run's end is ignored by its wake",
    "a slot is not freed at the end",
    "one slot too many",
    "agent_slots not looked at",
    "a spawn beside another that is starting",
    "touch does not choose again",
    "without the agent's lock",
    "a heartbeat says nothing",
    "a run is called lost before its host's term is over",
    "the fence of a host that is cut off is not enforced",
    "a run that nobody waits for is not ended",
    "what another attempt accepted is taken",
    "crash loop not counted",
    "the breaker never opens",
    "a probe for every wake",
    "a run's proof takes the seat from a living terminal",
    "what was never tried opens the breaker",
    "a moved wake is not rung at its new host",
    "ABSENT joins riders",
    "ABSENT raises offered",
    "a hold is not looked at",
    "a hold that comes before touching is not seen",
    "a process is started for a held session",
}


def test_every_mutant_has_a_seed_and_those_that_matter_most_are_among_them() -> None:
    assert set(RECORDED) == set(MUTANTS), "make mutants ARGS=--record"
    assert set(MUTANTS) >= WANTED


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_caught(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    seed = RECORDED[name]["seed"]
    if MUTANTS[name].play(seed).broken is not None:
        assert play(seed).broken is None, "what was planted is gone, and the history is still broken"
        return
    with capsys.disabled():  # the core or the simulator has changed, and with it what a seed means
        print(f" {name}: seed {seed} is stale, record it anew: make mutants ARGS=--record ", end="")
    assert hunt(name, seed, HUNT).seed is not None, f"not caught within {HUNT} seeds"
