"""Only the host's own socket makes a session live; a heartbeat says how the agent is, nothing more."""

from datetime import timedelta

import pytest

from bridge.core.policy import Policy
from bridge.core.session import (
    EVENTS,
    TRANSITIONS,
    Attached,
    Detached,
    Heartbeat,
    HumanTyped,
    Session,
    decide,
    facts,
)
from bridge.core.states import SessionStatus
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
