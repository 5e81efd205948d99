"""Claims: a token says who, where and when, in the form agreed, for this bridge, and for an hour at most."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.adapters.keysets import KeyFile
from bridge.adapters.tokens import TokenVerifier, wall_clock
from bridge.core.errors import TokenExpired
from bridge.core.states import Role
from tests.security.forging import Hand, refused
from tests.support.web import Mint


def test_a_good_token_says_who_calls(forger: Mint, verifier: TokenVerifier) -> None:
    claims = verifier.verify(forger.token("alice", Role.COORDINATOR))
    assert (claims.agent_id, claims.workspace_id, claims.role, claims.session_id) == (
        "alice",
        "ws_1",
        Role.COORDINATOR,
        "ses_alice",
    )


@pytest.mark.parametrize(
    "name", ["agent_id", "workspace_id", "role", "session_id", "iat", "exp", "jti", "iss", "aud"]
)
def test_every_claim_is_needed(forger: Mint, verifier: TokenVerifier, name: str) -> None:
    claims = forger.claims()
    del claims[name]
    refused(verifier, forger.sign(claims))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "somebody"},
        {"aud": "something"},
        {"aud": ["a", "b"]},
        {"role": "emperor"},
        {"role": ["operator"]},
        {"agent_id": ""},
        {"agent_id": "a/../b"},
        {"agent_id": "a\0"},
        {"agent_id": 7},
        {"workspace_id": "w w"},
        {"workspace_id": "x" * 65},
        {"session_id": {"$ne": ""}},
        {"jti": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"iat": "now"},
        {"iat": 1e300},
    ],
    ids=str,
)
def test_claims_of_another_form_are_refused(
    forger: Mint, verifier: TokenVerifier, claims: dict[str, Any]
) -> None:
    refused(verifier, forger.sign(forger.claims() | claims))


def test_an_expired_token_is_told_apart_and_the_leeway_is_five_seconds(
    forger: Mint, verifier: TokenVerifier
) -> None:
    now = wall_clock()
    verifier.verify(forger.token(iat=now - 600, exp=now - 3))
    refused(verifier, forger.token(iat=now - 600, exp=now - 7), TokenExpired)


def test_a_token_that_was_let_in_expires_all_the_same(forger: Mint) -> None:
    clock = Hand(wall_clock())
    verifier = TokenVerifier(
        KeyFile(forger.settings.jwks_file, wall=wall_clock),
        issuer="wakebridge",
        audience="wakebridge",
        clock=clock,
    )
    token = forger.token(exp=clock.now + 60)
    verifier.verify(token)
    clock.now += 66
    refused(verifier, token, TokenExpired)


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_token_of_the_future_is_refused(forger: Mint, verifier: TokenVerifier, name: str) -> None:
    now = wall_clock()
    refused(verifier, forger.sign(forger.claims(exp=now + 600) | {name: now + 60}))


def test_a_token_lives_for_an_hour_at_most(forger: Mint, verifier: TokenVerifier) -> None:
    now = wall_clock()
    verifier.verify(forger.token(iat=now, exp=now + 3600))
    refused(verifier, forger.token(iat=now, exp=now + 3602))
    refused(verifier, forger.token(iat=now, exp=now))
