"""A token is read to plan by; what is no token says nothing, and raises nothing."""

import base64

import pytest

from bridge.core.claims import unchecked_claims


def token(payload: bytes) -> str:
    return "head." + base64.urlsafe_b64encode(payload).rstrip(b"=").decode() + ".sign"


def test_claims_are_read_as_they_stand() -> None:
    assert unchecked_claims(token(b'{"agent_id": "reviewer", "exp": 7}')) == {
        "agent_id": "reviewer",
        "exp": 7,
    }


@pytest.mark.parametrize("no_token", ["", "a", "a.b", "a.%%%.c", token(b"[1]"), token(b"\xff"), token(b"{")])
def test_what_is_no_token_says_nothing(no_token: str) -> None:
    assert unchecked_claims(no_token) == {}
