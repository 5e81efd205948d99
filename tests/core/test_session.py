"""Only the host's own socket makes a session live; a heartbeat says how the agent is, nothing more."""

from datetime import timedelta

import pytest

from bridge.core.policy import Policy
from bridge.core.session import (
    ELSEWHERE,
    ELSEWHERE_S,
    EVENTS,
    TRANSITIONS,
    Attached,
    Detached,
    Heartbeat,
    Held,
    HumanTyped,
    RunEnded,
    RunProved,
    Session,
    decide,
    facts,
)
from bridge.core.states import SessionFound, SessionStatus
from tests.core.wakes import NOW, at

S = SessionStatus
POLICY = Policy()
NEW = Session("ws", "s1", "reviewer", "pty", S.OFFLINE)
HELD = decide(NEW, Attached("local", 42, "pty"), NOW)


def test_every_pair_of_status_and_event_has_a_rule() -> None:
    assert set(TRANSITIONS) == {(status, event) for status in S for event in EVENTS}


def test_attaching_makes_it_live_under_a_new_term() -> None:
    assert (HELD.attached, HELD.term, HELD.status, HELD.pid) == (True, 1, S.IDLE, 42)
    assert facts(HELD, POLICY, NOW, in_flight=False).live


def test_a_heartbeat_does_not_rename_the_runtime_that_holds_it() -> None:
    """A pause of `runtime:pty` is an operator's: the agent does not leave it by calling itself something else."""
    said = Heartbeat("webhook", resumable=False, status=S.ACTIVE)
    assert decide(HELD, said, NOW).runtime == "pty"
    assert decide(NEW, said, NOW).runtime == "webhook"


def test_a_heartbeat_never_makes_a_session_live() -> None:
    beaten = decide(NEW, Heartbeat("pty", resumable=True, status=S.ACTIVE), NOW)
    assert not facts(beaten, POLICY, NOW, in_flight=False).live
    assert (beaten.host, beaten.term, beaten.resumable) == (None, 0, True)


def test_letting_go_ends_it_at_once_and_a_late_word_of_an_earlier_term_says_nothing() -> None:
    again = decide(HELD, Attached("local", 43, "pty"), at(1))
    assert decide(again, Detached(term=1), at(2)) == again
    gone = decide(again, Detached(term=2), at(2))
    assert (gone.attached, gone.status) == (False, S.OFFLINE)
    assert not facts(gone, POLICY, at(2), in_flight=False).live


@pytest.mark.parametrize("status", [S.ACTIVE, S.IDLE])
def test_busy_is_what_a_fresh_heartbeat_says(status: SessionStatus) -> None:
    held = decide(HELD, Heartbeat("pty", resumable=False, status=status), NOW)
    assert facts(held, POLICY, NOW, in_flight=False).busy == (status is S.ACTIVE)
    late = NOW + timedelta(seconds=POLICY.stale_after_s + 1)
    assert not facts(held, POLICY, late, in_flight=False).busy


def test_a_human_at_the_keys_is_remembered() -> None:
    assert decide(HELD, HumanTyped(), at(3)).human_at == at(3)


RESUMED = decide(NEW, RunProved("local", "native-1", "codex", resumable=True), NOW)


def test_a_conversation_that_its_program_does_not_know_is_not_resumed_any_more() -> None:
    assert decide(RESUMED, RunEnded(), at(1)).resumable
    assert not decide(RESUMED, RunEnded(SessionFound.GONE), at(1)).resumable


def test_a_conversation_that_is_open_elsewhere_is_left_alone_for_a_while() -> None:
    ended = decide(RESUMED, RunEnded(SessionFound.ELSEWHERE), at(1))
    hold = ended.hold(at(2))
    assert hold is not None
    assert (hold.by, hold.why, hold.until) == ("codex", ELSEWHERE, at(1 + ELSEWHERE_S))
    assert ended.resumable
    assert ended.hold(at(2 + ELSEWHERE_S)) is None


def test_who_holds_it_for_longer_does_so_still() -> None:
    held = decide(RESUMED, Held(at(600), "olivia", "a rebase"), at(1))
    assert decide(held, RunEnded(SessionFound.ELSEWHERE), at(2)).held_by == "olivia"
    soon = decide(RESUMED, Held(at(5), "olivia"), at(1))
    assert decide(soon, RunEnded(SessionFound.ELSEWHERE), at(2)).held_by == "codex"


def test_a_terminal_that_has_taken_it_meanwhile_is_not_held_up() -> None:
    taken = decide(RESUMED, Attached("local", 7, "pty"), at(1))
    assert decide(taken, RunEnded(SessionFound.ELSEWHERE), at(2)) == taken
