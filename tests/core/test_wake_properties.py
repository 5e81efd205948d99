"""What holds for every wake, whatever happens to it in whatever order."""

from dataclasses import fields, replace
from datetime import datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.core.effects import MarkUnreachable, Notify
from bridge.core.errors import FenceRejected, InvalidTransition
from bridge.core.hold import Hold
from bridge.core.ladder import Facts, SessionFacts
from bridge.core.policy import Policy, RungLimits, validate
from bridge.core.states import WAKE_OPEN, Evidence, Rung, ThreadStatus, WaitReason, WakeState
from bridge.core.wake import TRANSITIONS, Event, Handled, Verdict, decide
from bridge.core.wake_events import (
    EVENTS,
    Accepted,
    CancelAsked,
    CursorMoved,
    Due,
    Forced,
    HandedOver,
    Joined,
    Postponed,
    RunOver,
    SessionLost,
    SignOfLife,
    TargetRaised,
    TouchAllowed,
    Wake,
)
from bridge.core.wake_judgement import HELD_UP, waits_in_vain
from tests.core.wakes import BOTH, NOW, born

SHORT = Policy(
    live=RungLimits(2, 3.0, 6.0),
    resume=RungLimits(2, 5.0, 6.0),
    spawn=RungLimits(1, 5.0, 6.0),
    lease_s=6.0,
    recheck_s=2.0,
    seat_wait_s=6.0,
    wake_life_s_max=90.0,
    defer_s_max=10.0,
    read_extension_s_max=20.0,
)
validate(SHORT)
Step = tuple[int, int, int]
STEPS = st.lists(
    st.tuples(st.integers(0, len(EVENTS) + 3), st.integers(0, 2**16), st.integers(0, 6)), max_size=40
)
BOUNDED = settings(max_examples=40, deadline=None)


def fresh() -> Wake:
    """A wake with a life short enough to be walked through."""
    return born(policy=SHORT)


def facts_from(n: int) -> Facts:
    """Any facts, by the bits of a number."""
    bit = [bool(n >> i & 1) for i in range(16)]
    session = SessionFacts(
        session_id="s2" if bit[0] and bit[1] else "s1",
        live=bit[2],
        process_alive=bit[2] or bit[3],
        resumable=bit[4],
        stale=bit[5] and bit[3],
        in_flight=bit[6] and bit[7],
        busy=bit[8],
        hold=Hold(NOW + timedelta(seconds=40), "olivia") if bit[12] and bit[7] else None,
    )
    return Facts(
        cursor=n % 5 if bit[9] and bit[10] else 0,
        thread_status=ThreadStatus.BLOCKED if bit[11] and bit[12] and bit[13] else ThreadStatus.ACTIVE,
        session=session if bit[2] or bit[3] else None,
        can_start=BOTH if bit[14] else frozenset(),
        slots_free=not (bit[4] and bit[6]),
        host_seen=not (bit[12] and bit[15]),
    )


def event_from(kind: int, n: int, wake: Wake) -> Event:
    """Any event; the clock comes most often, and fences are mostly right."""
    facts, fence = facts_from(n), wake.fence - (n % 7 == 0)
    evidence = list(Evidence)[n % len(Evidence)]
    rung = (Rung.LIVE, Rung.RESUME, Rung.SPAWN)[n % 3]
    events: list[Event] = [
        Due(facts, "w"),
        TouchAllowed(fence, facts, "s9"),
        Postponed(fence, WaitReason.HUMAN if n % 2 else WaitReason.BUSY),
        HandedOver(fence, evidence, facts),
        Joined("other.1", 1 + n % 3, accepted=bool(n % 2), rung=rung, session_id="s1"),
        Accepted(wake.attempt_id or "w1.1"),
        RunOver(wake.attempt_id or "w1.1", "it ended", facts),
        CursorMoved(n % 6),
        TargetRaised(n % 9),
        SignOfLife(),
        SessionLost("s1"),
        Forced("op"),
        CancelAsked("enough") if n % 5 == 0 else SignOfLife(),
        TouchAllowed(wake.fence, facts, "s9"),
        HandedOver(wake.fence, evidence, facts),
    ]
    return events[kind] if kind < len(events) else events[0]


def walk(steps: list[Step]) -> list[tuple[Wake, Event, Wake, datetime]]:
    """The wake before and after each event; events that were refused changed nothing, and are left out."""
    wake, now, seen = fresh(), NOW, []
    for kind, n, wait_s in steps:
        now += timedelta(seconds=wait_s)
        event = event_from(kind, n, wake)
        try:
            decision = decide(wake, event, SHORT, now)
        except (FenceRejected, InvalidTransition):
            assert TRANSITIONS[wake.state, type(event)] is not Verdict.IGNORED
            continue
        seen.append((wake, event, decision.state, now))
        cell = TRANSITIONS[wake.state, type(event)]
        if isinstance(cell, Handled):
            assert decision.state.state in cell.to
        if decision.state.state is WakeState.FAILED and wake.state is not WakeState.FAILED:
            assert any(isinstance(effect, Notify) and effect.tell_sender for effect in decision.effects)
            marked = MarkUnreachable() in decision.effects
            assert marked or wake.reason in HELD_UP or waits_in_vain(wake)
        wake = decision.state
    return seen


@BOUNDED
@given(STEPS)
def test_death_never_moves_and_nothing_is_due_after_it(steps: list[Step]) -> None:
    for _, _, after, _ in walk(steps):
        assert after.dies_at == fresh().dies_at
        assert after.due_at <= after.dies_at


@BOUNDED
@given(STEPS)
def test_what_only_grows_never_shrinks(steps: list[Step]) -> None:
    for before, event, after, _ in walk(steps):
        for name in ("target_seq", "offered_seq", "attempts", "fence", "deferred_s"):
            assert getattr(after, name) >= getattr(before, name), (name, event)
        for rung in (Rung.LIVE, Rung.RESUME, Rung.SPAWN):
            assert after.tried.count(rung) >= before.tried.count(rung)


@BOUNDED
@given(STEPS)
@example([(4, 3, 0), (0, 0, 3), (0, 0, 3), (4, 3, 0), (0, 0, 3), (0, 0, 4), (4, 3, 0)])
def test_tries_never_exceed_the_ladder(steps: list[Step]) -> None:
    for _, _, after, _ in walk(steps):
        for rung in (Rung.LIVE, Rung.RESUME, Rung.SPAWN):
            assert after.tried.count(rung) <= SHORT.limits(rung).tries


@BOUNDED
@given(STEPS)
def test_only_a_hand_that_touched_burns_a_try_and_only_one(steps: list[Step]) -> None:
    for before, event, after, _ in walk(steps):
        rungs = (Rung.LIVE, Rung.RESUME, Rung.SPAWN)
        burnt = sum(after.tried.count(rung) - before.tried.count(rung) for rung in rungs)
        may = before.state is WakeState.TOUCHING or isinstance(event, Joined)
        assert burnt <= (1 if may else 0), event


@BOUNDED
@given(STEPS)
def test_raising_the_target_changes_the_target_alone(steps: list[Step]) -> None:
    for before, event, after, _ in walk(steps):
        if isinstance(event, TargetRaised):
            assert after == replace(before, target_seq=max(before.target_seq, event.target_seq))


@BOUNDED
@given(STEPS)
def test_an_ack_has_a_cursor_at_what_was_offered(steps: list[Step]) -> None:
    for before, event, after, _ in walk(steps):
        if after.state is WakeState.ACKED and before.state is not WakeState.ACKED:
            assert isinstance(event, CursorMoved | Due | TouchAllowed | HandedOver | RunOver)
            cursor = event.cursor if isinstance(event, CursorMoved) else event.facts.cursor
            assert after.offered_seq
            assert cursor >= after.offered_seq


@BOUNDED
@given(STEPS)
def test_what_has_ended_stays_as_it_ended(steps: list[Step]) -> None:
    for before, _, after, _ in walk(steps):
        if before.state not in WAKE_OPEN:
            assert after == before


@BOUNDED
@given(STEPS, st.integers(1, 3))
def test_a_hand_with_an_old_fence_never_changes_anything(steps: list[Step], older: int) -> None:
    for _, _, wake, now in walk(steps):
        facts = facts_from(4)
        for event in (
            TouchAllowed(wake.fence - older, facts),
            Postponed(wake.fence - older, WaitReason.HUMAN),
            HandedOver(wake.fence - older, Evidence.ACCEPTED, facts),
            Accepted("an.older"),
            RunOver("an.older", "it ended", facts),
        ):
            try:
                assert decide(wake, event, SHORT, now).state == wake
            except FenceRejected:
                continue


@BOUNDED
@given(STEPS, st.integers(0, 2**16))
def test_the_clock_alone_ends_every_wake_by_its_death(steps: list[Step], n: int) -> None:
    seen = walk(steps)
    wake, now = (seen[-1][2], seen[-1][3]) if seen else (fresh(), NOW)
    for _ in range(300):
        if wake.state not in WAKE_OPEN:
            break
        now = max(now, wake.due_at)
        wake = decide(wake, Due(facts_from(n), "w"), SHORT, now).state
    assert wake.state not in WAKE_OPEN
    assert now <= max(wake.dies_at, seen[-1][3] if seen else NOW)


@BOUNDED
@given(STEPS)
def test_a_ring_before_its_time_changes_nothing(steps: list[Step]) -> None:
    for _, _, wake, _ in walk(steps):
        if wake.state in WAKE_OPEN:
            early = wake.due_at - timedelta(milliseconds=1)
            assert decide(wake, Due(facts_from(4), "w"), SHORT, early).state == wake


def test_every_field_of_a_wake_is_named_here_or_known_to_change() -> None:
    fixed = {"wake_id", "workspace_id", "thread_id", "agent_id", "created_at", "dies_at", "policy_version"}
    moving = {item.name for item in fields(Wake)} - fixed
    assert len(moving) == len(fields(Wake)) - len(fixed)
    for _, _, after, _ in walk([(0, 4, 0), (12, 4, 0), (13, 0, 0), (6, 5, 0)]):
        assert all(getattr(after, name) == getattr(fresh(), name) for name in fixed)


@BOUNDED
@given(STEPS)
def test_nothing_begins_in_a_held_session_but_what_is_forced(steps: list[Step]) -> None:
    for before, event, after, now in walk(steps):
        begins = after.state is WakeState.TOUCHING and before.state is not WakeState.TOUCHING
        if begins and isinstance(event, TouchAllowed) and event.facts.session is not None:
            hold = event.facts.session.hold
            assert before.forced or hold is None or hold.until <= now
