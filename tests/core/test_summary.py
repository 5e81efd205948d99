"""A thread's summary: the same facts give the same one, and no reason crowds out another."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.states import FindingStatus, MessageKind
from bridge.core.summary import (
    CLOSED_MAX,
    EXCERPT_CHARS_MAX,
    MESSAGES_MAX,
    OPEN_MAX,
    KeyMessage,
    Why,
    key_messages,
    summarise,
)
from tests.core.summaries import decided, facts, finding, message

BOUNDED = settings(max_examples=50, deadline=None)
MESSAGES = st.lists(
    st.builds(
        lambda seq, by_human, is_event, waits: message(
            seq,
            by_human=by_human,
            kind=MessageKind.EVENT if is_event else MessageKind.CHAT,
            waits_for=("bob",) if waits else (),
        ),
        st.integers(1, 60),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    max_size=40,
    unique_by=lambda one: one.seq,
).map(tuple)


def chosen(candidates: tuple[KeyMessage, ...], count: int) -> dict[int, tuple[Why, ...]]:
    return {one.seq: one.why for one in key_messages(candidates, count)}


def test_findings_are_open_until_somebody_verifies_or_rejects_them() -> None:
    status = FindingStatus
    found = summarise(
        facts(
            findings=tuple(
                finding(n, one)
                for n, one in enumerate(
                    (status.VERIFIED, status.FIXED, status.REJECTED, status.OPEN), start=1
                )
            )
        )
    )
    assert [one.finding_id for one in found.open_findings] == ["f-2", "f-4"]
    assert [one.finding_id for one in found.closed_findings] == ["f-3", "f-1"]
    assert not found.more_findings


def test_more_findings_than_are_shown_are_said_to_be_there() -> None:
    many = tuple(finding(n) for n in range(1, OPEN_MAX + 2))
    found = summarise(facts(findings=many))
    assert (len(found.open_findings), found.more_findings) == (OPEN_MAX, True)
    closed = tuple(finding(n, FindingStatus.REJECTED) for n in range(1, CLOSED_MAX + 2))
    found = summarise(facts(findings=closed))
    assert (found.closed_findings[0].finding_id, found.more_findings) == (f"f-{CLOSED_MAX + 1}", True)


def test_decisions_come_in_order_and_long_texts_as_excerpts() -> None:
    found = summarise(facts(decisions=(decided(9, "x" * 10_000), decided(3))))
    assert [one.seq for one in found.decisions] == [3, 9]
    assert found.decisions[1].text == "x" * (EXCERPT_CHARS_MAX - 1) + "…"


def test_each_reason_has_its_turn_before_any_has_a_second() -> None:
    candidates = (
        message(1),
        message(10, waits_for=("bob",)),
        message(11, waits_for=("bob",)),
        message(12, by_human=True),
        message(13, by_human=True),
        message(14, kind=MessageKind.EVENT, event_type="fix_pushed"),
        *(message(seq) for seq in range(20, 60)),
    )
    assert chosen(candidates, 5) == {
        1: (Why.OPENING,),
        11: (Why.UNANSWERED,),
        13: (Why.HUMAN,),
        14: (Why.EVENT,),
        59: (Why.NEWEST,),
    }
    assert set(chosen(candidates, 1)) == {11}


def test_a_message_tells_all_its_reasons() -> None:
    both = message(5, by_human=True, waits_for=("bob",))
    assert chosen((both,), 3) == {5: (Why.UNANSWERED, Why.HUMAN)}


def test_key_messages_are_excerpts() -> None:
    (one,) = key_messages((message(5, text="ü" * 9_999),), 1)
    assert len(one.text) == EXCERPT_CHARS_MAX


def test_never_more_than_the_most() -> None:
    candidates = tuple(message(seq) for seq in range(1, 300))
    assert len(summarise(facts(messages=candidates), 10_000).key_messages) == MESSAGES_MAX


@BOUNDED
@given(MESSAGES, st.integers(0, 50), st.integers(0, 2**16))
def test_the_choice_is_deterministic_full_in_order_and_grows(
    candidates: tuple[KeyMessage, ...], count: int, seed: int
) -> None:
    found = key_messages(candidates, count)
    shuffled = list(candidates)
    random.Random(seed).shuffle(shuffled)
    assert found == key_messages(tuple(shuffled), count)
    assert len(found) == min(count, len(candidates))
    assert [one.seq for one in found] == sorted(one.seq for one in found)
    assert all(one.why for one in found)
    assert {one.seq for one in found} <= {one.seq for one in key_messages(candidates, count + 1)}
