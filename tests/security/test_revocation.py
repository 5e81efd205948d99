"""Revocation: by token, session and agent; in force at once here, within a second elsewhere, and after a restart."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge.adapters.tokens import Denylist
from bridge.core.errors import OutOfScopeWorkspace, TokenRevoked, Unavailable
from bridge.core.states import Role
from bridge.ports.tokens import Claims, Revocations
from tests.security.forging import Hand

CLAIMS = Claims("alice", "ws_1", Role.PARTICIPANT, "ses_1", "jti_1", iat=100.0, exp=200.0)


@pytest.mark.parametrize(
    ("revoked", "is_in"),
    [
        (Revocations(), True),
        (Revocations(jtis=frozenset({"jti_1"})), False),
        (Revocations(jtis=frozenset({"jti_2"})), True),
        (Revocations(sessions=(("ses_1", 100.0),)), False),
        (Revocations(sessions=(("ses_1", 99.9),)), True),
        (Revocations(agents=(("alice", 150.0),)), False),
        (Revocations(agents=(("bob", 150.0),)), True),
    ],
)
def test_what_is_revoked_is_refused_and_what_is_made_later_is_not(
    revoked: Revocations, *, is_in: bool
) -> None:
    assert revoked.forbid(CLAIMS) is not is_in


def test_the_denylist_is_read_again_soon_and_not_at_each_use() -> None:
    clock, answers = Hand(), [Revocations(), Revocations(jtis=frozenset({"jti_1"}))]
    denylist = Denylist(lambda _workspace: answers.pop(0), clock=clock)
    denylist.check(CLAIMS)
    clock.now += 0.3
    denylist.check(CLAIMS)
    clock.now += 0.2
    with pytest.raises(TokenRevoked):
        denylist.check(CLAIMS)


def test_a_denylist_that_cannot_be_read_lets_nobody_in() -> None:
    clock = Hand()
    answers: list[Callable[[], Revocations]] = [Revocations]

    def load(_workspace: str) -> Revocations:
        if not answers:
            raise Unavailable
        return answers.pop()()

    denylist = Denylist(load, clock=clock)
    denylist.check(CLAIMS)
    clock.now += 1.1
    with pytest.raises(Unavailable):
        denylist.check(CLAIMS)


def test_a_workspace_that_is_not_served_is_out_of_scope() -> None:
    with pytest.raises(OutOfScopeWorkspace):
        Denylist(lambda _workspace: Revocations(served=False)).check(CLAIMS)
