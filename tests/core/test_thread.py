"""What a post and a request do to a thread; and that circles are found by the post that closes them."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.effects import CancelWakes, Notify, OpenUnread, OpenWakes, Say
from bridge.core.errors import Conflict, InsufficientAuthority, InvalidTransition, ThreadNotOpen
from bridge.core.policy import Policy
from bridge.core.states import FindingStatus, MessageKind, Role, ThreadStatus, ThreadType
from bridge.core.thread import (
    EVENTS,
    LEGAL_STATUS,
    TRANSITIONS,
    Escalation,
    EscalationAsked,
    EscalationEnded,
    FindingFacts,
    OwnerFacts,
    Posted,
    StallChecked,
    StatusAsked,
    Thread,
    decide,
    fingerprint,
)
from tests.core.wakes import NOW, at

POLICY = Policy(turns_max=4)
S = ThreadStatus
THREAD = Thread("t1", "ws", ThreadType.WORKFLOW, S.ACTIVE, 0, 2, 0, None, NOW)
RAISED = Escalation("chief", "carol", "disputed", NOW)


def post(thread: Thread = THREAD, sender: str = "a", **more: object) -> Thread:
    return decide(thread, chat(sender, **more), POLICY, at(1)).state


def chat(sender: str = "a", **more: object) -> Posted:
    return Posted(**({"sender": sender, "kind": MessageKind.CHAT, "by_human": False} | more))  # type: ignore[arg-type]


def finding(status: FindingStatus | None, reports: int = 0, what: str = "finding_reported") -> Posted:
    return chat(kind=MessageKind.EVENT, event_type=what, finding=FindingFacts(reports, status))


def asked(status: ThreadStatus, role: Role = Role.OPERATOR, **more: object) -> StatusAsked:
    return StatusAsked(**({"status": status, "by": "op", "role": role, "reason": "so"} | more))  # type: ignore[arg-type]


def test_every_pair_of_status_and_event_has_a_rule() -> None:
    assert set(TRANSITIONS) == {(status, event) for status in S for event in EVENTS}


def test_turns_are_counted_by_change_of_sender_and_the_first_message_is_none() -> None:
    thread, turns = THREAD, []
    for sender in "aabba":
        thread = post(thread, sender)
        turns.append(thread.turns)
    assert turns == [0, 0, 1, 1, 2]
    assert thread.last_seq == 5


def test_the_post_that_closes_the_circle_blocks_and_only_operators_are_woken_for_it() -> None:
    thread = replace(THREAD, turns=3, last_sender="b")
    decision = decide(thread, chat("a"), POLICY, at(1))
    assert decision.state.status is S.BLOCKED
    assert [type(effect) for effect in decision.effects] == [CancelWakes, OpenWakes, Notify]
    assert post(replace(thread, turns=2)).status is S.ACTIVE


def test_more_participants_may_take_more_turns() -> None:
    assert post(replace(THREAD, turns=3, last_sender="b", participants=3)).status is S.ACTIVE
    assert post(replace(THREAD, turns=7, last_sender="b", participants=3)).status is S.BLOCKED


def test_a_conversation_is_warned_and_slowed_not_blocked() -> None:
    thread = replace(THREAD, type=ThreadType.CONVERSATION, turns=3, last_sender="b")
    decision = decide(thread, chat("a"), POLICY, at(1))
    assert decision.state.status is S.ACTIVE
    assert OpenWakes(delay_s=POLICY.slow_s) in decision.effects


@pytest.mark.parametrize(
    ("event", "counts"),
    [
        (chat(by_human=True), True),
        (chat(event_type="decision"), True),
        (chat(event_type="fix_pushed", commit="c2"), True),
        (chat(event_type="fix_pushed", commit="c1"), False),
        (chat(event_type="fix_pushed"), False),
        (chat(event_type="finding_verified", finding=FindingFacts(1, FindingStatus.OPEN)), True),
        (chat(event_type="finding_verified", finding=FindingFacts(1, FindingStatus.VERIFIED)), False),
        (chat(event_type="finding_verified"), False),
        (chat(event_type="anything"), False),
    ],
)
def test_progress_sets_the_turns_back_and_a_repeat_does_not(event: Posted, counts: bool) -> None:
    thread = replace(THREAD, turns=2, last_sender="b", last_commit="c1", stalled=True)
    after = decide(thread, event, POLICY, at(9)).state
    assert (after.turns == 0) == counts
    assert (after.progress_at == at(9)) == counts
    assert after.stalled != counts


def test_the_same_finding_a_third_time_blocks() -> None:
    assert decide(THREAD, finding(FindingStatus.OPEN, reports=1), POLICY, NOW).state.status is S.ACTIVE
    assert decide(THREAD, finding(FindingStatus.OPEN, reports=2), POLICY, NOW).state.status is S.BLOCKED


def test_open_findings_are_counted_once_each() -> None:
    thread = decide(THREAD, finding(None), POLICY, NOW).state
    assert thread.open_findings == 1
    thread = decide(thread, finding(FindingStatus.OPEN, 1), POLICY, NOW).state
    assert thread.open_findings == 1
    thread = decide(thread, finding(FindingStatus.FIXED, what="finding_verified"), POLICY, NOW).state
    assert thread.open_findings == 0
    assert (
        decide(
            thread, finding(FindingStatus.VERIFIED, what="finding_verified"), POLICY, NOW
        ).state.open_findings
        == 0
    )


def test_what_makes_two_findings_the_same_is_not_spacing_or_case() -> None:
    assert fingerprint("f", "a.py", 3, "Off by  ONE!") == fingerprint("f", "a.py", 3, "off by one")
    assert fingerprint("f", "a.py", 3, "x") != fingerprint("f", "a.py", 4, "x")


def test_a_post_reopens_what_was_resolved_is_stored_in_what_is_blocked_and_refused_by_what_is_closed() -> (
    None
):
    assert post(replace(THREAD, status=S.RESOLVED)).status is S.ACTIVE
    blocked = decide(replace(THREAD, status=S.BLOCKED), chat(), POLICY, NOW)
    assert (blocked.state.status, blocked.state.last_seq) == (S.BLOCKED, 1)
    with pytest.raises(ThreadNotOpen):
        post(replace(THREAD, status=S.CLOSED))


def test_the_servers_own_words_are_no_turn() -> None:
    thread = replace(THREAD, last_sender="b", turns=1)
    after = post(thread, "wakebridge", kind=MessageKind.SYSTEM)
    assert (after.turns, after.last_sender, after.last_seq) == (1, "b", 1)


@pytest.mark.parametrize("old", S)
@pytest.mark.parametrize("new", S)
def test_only_legal_changes_of_status_are_carried_out(old: ThreadStatus, new: ThreadStatus) -> None:
    thread = replace(THREAD, status=old, turns=3)
    if new is not old and new not in LEGAL_STATUS[old]:
        with pytest.raises(InvalidTransition):
            decide(thread, asked(new), POLICY, NOW)
        return
    decision = decide(thread, asked(new), POLICY, at(5))
    assert decision.state.status is new
    assert decision.state == thread or (decision.state.turns, decision.state.progress_at) == (0, at(5))


def test_blocking_and_closing_cancel_wakes_and_unblocking_opens_what_is_unread() -> None:
    for status in (S.BLOCKED, S.CLOSED):
        effects = decide(THREAD, asked(status), POLICY, NOW).effects
        assert [type(effect) for effect in effects][:2] == [Say, CancelWakes]
    effects = decide(replace(THREAD, status=S.BLOCKED), asked(S.ACTIVE), POLICY, NOW).effects
    assert OpenUnread() in effects


def test_two_who_race_the_second_is_told() -> None:
    with pytest.raises(Conflict):
        decide(THREAD, asked(S.ACTIVE, expected=S.BLOCKED), POLICY, NOW)


def test_only_an_operator_closes_what_is_not_settled() -> None:
    resolved = replace(THREAD, status=S.RESOLVED)
    assert decide(resolved, asked(S.CLOSED, Role.COORDINATOR), POLICY, NOW).state.status is S.CLOSED
    for thread in (THREAD, replace(resolved, open_findings=1), replace(resolved, escalation=RAISED)):
        with pytest.raises(InsufficientAuthority):
            decide(thread, asked(S.CLOSED, Role.COORDINATOR), POLICY, NOW)
        assert decide(thread, asked(S.CLOSED), POLICY, NOW).state.status is S.CLOSED


def test_a_thread_with_open_findings_and_no_progress_is_told_of_once() -> None:
    thread = replace(THREAD, open_findings=1)
    later = at(POLICY.stall_after_s)
    assert decide(thread, StallChecked(), POLICY, at(POLICY.stall_after_s - 1)) == (thread, ())
    decision = decide(thread, StallChecked(), POLICY, later)
    assert (decision.state.stalled, decision.state.escalated) == (True, True)
    assert isinstance(decision.effects[0], Notify)
    assert decide(decision.state, StallChecked(), POLICY, later).effects == ()


def test_a_stall_escalates_by_the_bridge_and_leaves_an_escalation_that_there_is() -> None:
    thread, later = replace(THREAD, open_findings=1), at(POLICY.stall_after_s)
    raised = decide(thread, StallChecked(), POLICY, later).state.escalation
    assert raised is not None
    assert (raised.by, raised.owner, raised.at) == ("wakebridge", None, later)
    kept = decide(replace(thread, escalation=RAISED), StallChecked(), POLICY, later).state
    assert (kept.escalation, kept.stalled) == (RAISED, True)


def escalate(owner: str | None = "carol", by: str = "chief", **more: object) -> EscalationAsked:
    return EscalationAsked(
        **({"by": by, "role": Role.COORDINATOR, "reason": "disputed", "owner": owner} | more)  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("status", [S.ACTIVE, S.RESOLVED, S.BLOCKED])
def test_escalating_changes_no_status_and_tells_operators_and_owner(status: ThreadStatus) -> None:
    decision = decide(replace(THREAD, status=status), escalate(about="1 open finding"), POLICY, at(3))
    assert decision.state == replace(THREAD, status=status, escalation=replace(RAISED, at=at(3)))
    said, note = decision.effects
    assert said == Say("chief escalated the thread to carol: disputed\n1 open finding")
    assert isinstance(note, Notify)
    assert (note.cause, note.also, note.tell_sender) == ("escalated:t1", "carol", False)


@pytest.mark.parametrize(
    ("status", "is_human", "wakes"),
    [(S.ACTIVE, False, True), (S.RESOLVED, False, True), (S.BLOCKED, False, False), (S.BLOCKED, True, True)],
)
def test_an_owner_that_takes_part_is_addressed_and_woken_but_no_agent_in_a_blocked_thread(
    status: ThreadStatus, is_human: bool, wakes: bool
) -> None:
    asked = escalate(owner_facts=OwnerFacts(takes_part=True, is_human=is_human))
    said = decide(replace(THREAD, status=status), asked, POLICY, NOW).effects[0]
    assert isinstance(said, Say)
    assert (said.to, said.wakes) == ("carol", wakes)


def test_the_same_escalation_again_changes_nothing_and_another_owner_or_reason_does() -> None:
    thread = replace(THREAD, escalation=RAISED)
    assert decide(thread, escalate(), POLICY, at(9)) == (thread, ())
    moved = decide(thread, escalate("bob"), POLICY, at(9)).state.escalation
    assert moved == Escalation("chief", "bob", "disputed", at(9))
    ended = decide(thread, EscalationEnded("carol", Role.COORDINATOR, "settled"), POLICY, NOW)
    assert (ended.state.escalation, ended.effects) == (None, (Say("carol ended the escalation: settled"),))
    with pytest.raises(InvalidTransition):
        decide(THREAD, EscalationEnded("chief", Role.COORDINATOR), POLICY, NOW)
    with pytest.raises(ThreadNotOpen):
        decide(replace(THREAD, status=S.CLOSED), escalate(), POLICY, NOW)


def test_a_coordinator_cannot_take_somebody_elses_escalation_away_and_then_close() -> None:
    disputed = replace(THREAD, status=S.RESOLVED, escalation=Escalation("olivia", None, "look", NOW))
    for event in (escalate("chief"), EscalationEnded("chief", Role.COORDINATOR)):
        with pytest.raises(InsufficientAuthority):
            decide(disputed, event, POLICY, NOW)
        assert decide(disputed, replace(event, role=Role.OPERATOR), POLICY, NOW).state != disputed


def test_closing_ends_the_escalation() -> None:
    assert decide(replace(THREAD, escalation=RAISED), asked(S.CLOSED), POLICY, NOW).state.escalation is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=30))
def test_the_sequence_has_no_gap_and_the_turns_never_pass_the_limit(posts: list[tuple[str, int]]) -> None:
    thread = replace(THREAD, participants=3)
    for sender, what in posts:
        before = thread
        event = chat(sender, by_human=what == 0, kind=MessageKind.SYSTEM if what == 1 else MessageKind.CHAT)
        thread = decide(thread, event, POLICY, NOW).state
        assert thread.last_seq == before.last_seq + 1
        assert 0 <= thread.turns <= before.turns + 1
        if thread.status is S.ACTIVE:
            assert thread.turns < POLICY.turns_limit(3)
        else:
            thread = decide(thread, asked(S.ACTIVE), POLICY, NOW).state
            assert thread.turns == 0
