"""Which rung applies: the ladder by example, and never a second process beside one that lives."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.ladder import Choice, Facts, SessionFacts, Tried, choose
from bridge.core.policy import Policy
from bridge.core.states import Rung, WaitReason
from tests.core.wakes import BOTH

POLICY = Policy()
LIVE = SessionFacts("s1", live=True, process_alive=True)
DEAD = SessionFacts("s1", live=False, process_alive=False, resumable=True)
STARTS = Facts(cursor=0, session=DEAD, can_start=BOTH)


@pytest.mark.parametrize(
    ("facts", "tried", "choice"),
    [
        (Facts(0, session=LIVE), Tried(), Choice(Rung.LIVE)),
        (Facts(0, session=LIVE), Tried(live=2), Choice(Rung.LIVE)),
        (Facts(0, session=LIVE), Tried(live=3), Choice(Rung.OPERATOR)),
        (Facts(0, session=LIVE), Tried(spent=frozenset({Rung.LIVE})), Choice(Rung.OPERATOR)),
        (Facts(0, session=LIVE), Tried(occupied=True), Choice(Rung.OPERATOR)),
        (Facts(0, session=replace(LIVE, in_flight=True)), Tried(), Choice(Rung.LIVE, WaitReason.SLOT)),
        (STARTS, Tried(), Choice(Rung.RESUME)),
        (STARTS, Tried(resume=2), Choice(Rung.SPAWN)),
        (STARTS, Tried(resume=2, spawn=1, seat_over=True), Choice(Rung.OPERATOR)),
        (STARTS, Tried(resume=2, spawn=1), Choice(Rung.OPERATOR, WaitReason.SEAT)),
        (replace(STARTS, slots_free=False), Tried(), Choice(Rung.RESUME, WaitReason.SLOT)),
        (replace(STARTS, session=replace(DEAD, resumable=False)), Tried(), Choice(Rung.SPAWN)),
        (replace(STARTS, session=replace(DEAD, stale=True)), Tried(), Choice(Rung.SPAWN)),
        (replace(STARTS, session=replace(DEAD, crashes=3)), Tried(), Choice(Rung.SPAWN)),
        (
            replace(STARTS, session=replace(DEAD, process_alive=True)),
            Tried(),
            Choice(Rung.OPERATOR, WaitReason.SEAT),
        ),
        (
            replace(STARTS, session=replace(DEAD, process_alive=True)),
            Tried(seat_over=True),
            Choice(Rung.OPERATOR),
        ),
        (
            replace(STARTS, session=replace(DEAD, running=True)),
            Tried(),
            Choice(Rung.RESUME, WaitReason.SLOT),
        ),
        (replace(STARTS, draining=True), Tried(), Choice(Rung.RESUME, WaitReason.HOST)),
        (replace(STARTS, agent_runs=2), Tried(), Choice(Rung.RESUME, WaitReason.SLOT)),
        (replace(STARTS, starting=True), Tried(resume=2), Choice(Rung.SPAWN, WaitReason.SLOT)),
        (replace(STARTS, can_start=frozenset({Rung.SPAWN})), Tried(), Choice(Rung.SPAWN)),
        (Facts(0, can_start=BOTH), Tried(), Choice(Rung.SPAWN)),
        (Facts(0), Tried(), Choice(Rung.OPERATOR, WaitReason.SEAT)),
    ],
)
def test_the_first_rung_that_applies_now_and_has_tries_left(
    facts: Facts, tried: Tried, choice: Choice
) -> None:
    assert choose(tried, facts, POLICY) == choice


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.booleans(), min_size=9, max_size=9), st.integers(0, 3), st.integers(0, 2), st.integers(0, 1)
)
def test_no_rung_is_over_its_tries_and_none_starts_a_process_beside_a_living_one(
    bits: list[bool], live: int, resume: int, spawn: int
) -> None:
    session = SessionFacts("s", bits[0], bits[1], resumable=bits[2], stale=bits[3], in_flight=bits[4])
    facts = Facts(
        0,
        session=session if bits[5] else None,
        can_start=BOTH if bits[6] else frozenset(),
        slots_free=bits[7],
    )
    tried = Tried(live, resume, spawn, occupied=bits[8])
    rung = choose(tried, facts, POLICY).rung
    if rung is not Rung.OPERATOR:
        assert tried.count(rung) < POLICY.limits(rung).tries
    if rung in {Rung.RESUME, Rung.SPAWN}:
        assert facts.session is None or not facts.session.process_alive
