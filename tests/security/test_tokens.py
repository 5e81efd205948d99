"""Tokens that must not be let in, each for its own reason; and revocation, in force within a second."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.adapters.keysets import KeyFile
from bridge.adapters.tokens import Denylist, JwtTokens, TokenSigner, TokenVerifier, wall_clock
from bridge.config import Settings
from bridge.core.errors import (
    BridgeError,
    OutOfScopeWorkspace,
    TokenExpired,
    TokenRevoked,
    Unauthorized,
    Unavailable,
)
from bridge.core.states import Role
from bridge.ports.tokens import Claims, Revocations
from bridge.stack.keys import public_jwk
from tests.support.web import Mint


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def mint(tmp_path: Path) -> Mint:
    return Mint(Settings(data_dir=tmp_path))


@pytest.fixture
def verifier(mint: Mint) -> TokenVerifier:
    return TokenVerifier(
        KeyFile(mint.settings.jwks_file, wall=wall_clock), issuer="wakebridge", audience="wakebridge"
    )


def refused(verifier: TokenVerifier, token: str, expected: type[BridgeError] = Unauthorized) -> None:
    with pytest.raises(BridgeError) as caught:
        verifier.verify(token)
    assert type(caught.value) is expected, caught.value.detail


def test_a_good_token_says_who_calls(mint: Mint, verifier: TokenVerifier) -> None:
    claims = verifier.verify(mint.token("alice", Role.COORDINATOR))
    assert (claims.agent_id, claims.workspace_id, claims.role, claims.session_id) == (
        "alice",
        "ws_1",
        Role.COORDINATOR,
        "ses_alice",
    )


@pytest.mark.parametrize(
    "name", ["agent_id", "workspace_id", "role", "session_id", "iat", "exp", "jti", "iss", "aud"]
)
def test_every_claim_is_needed(mint: Mint, verifier: TokenVerifier, name: str) -> None:
    claims = mint.claims()
    del claims[name]
    refused(verifier, mint.sign(claims))


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
    mint: Mint, verifier: TokenVerifier, claims: dict[str, Any]
) -> None:
    refused(verifier, mint.sign(mint.claims() | claims))


def test_an_expired_token_is_told_apart_and_the_leeway_is_five_seconds(
    mint: Mint, verifier: TokenVerifier
) -> None:
    now = wall_clock()
    verifier.verify(mint.token(iat=now - 600, exp=now - 3))
    refused(verifier, mint.token(iat=now - 600, exp=now - 7), TokenExpired)


def test_a_token_that_was_let_in_expires_all_the_same(mint: Mint) -> None:
    clock = Hand()
    clock.now = wall_clock()
    verifier = TokenVerifier(
        KeyFile(mint.settings.jwks_file, wall=wall_clock),
        issuer="wakebridge",
        audience="wakebridge",
        clock=clock,
    )
    token = mint.token(exp=clock.now + 60)
    verifier.verify(token)
    clock.now += 66
    refused(verifier, token, TokenExpired)


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_token_of_the_future_is_refused(mint: Mint, verifier: TokenVerifier, name: str) -> None:
    now = wall_clock()
    refused(verifier, mint.sign(mint.claims(exp=now + 600) | {name: now + 60}))


def test_a_token_lives_for_an_hour_at_most(mint: Mint, verifier: TokenVerifier) -> None:
    now = wall_clock()
    verifier.verify(mint.token(iat=now, exp=now + 3600))
    refused(verifier, mint.token(iat=now, exp=now + 3602))
    refused(verifier, mint.token(iat=now, exp=now))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "..", "é" * 20, "a" * 10_000, "\ud800"])
def test_what_is_no_token_is_refused(verifier: TokenVerifier, token: str) -> None:
    refused(verifier, token)


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_an_unsigned_token_is_refused(mint: Mint, verifier: TokenVerifier, algorithm: str) -> None:
    header = {"alg": algorithm, "typ": "JWT", "kid": mint.kid}
    refused(verifier, f"{part(header)}.{part(mint.claims())}.")


def test_the_public_key_is_no_shared_secret(mint: Mint, verifier: TokenVerifier) -> None:
    public = mint.key.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': mint.kid})}.{part(mint.claims())}"
    for secret in (pem, public.public_bytes_raw(), public_jwk(mint.key)["x"].encode()):
        mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        refused(verifier, f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}")


def test_another_key_is_refused_whatever_kid_it_names(mint: Mint, verifier: TokenVerifier) -> None:
    other = Ed25519PrivateKey.generate()
    for headers in ({"kid": mint.kid}, {"kid": "unknown"}, {"kid": "../../etc/passwd"}, {}):
        refused(verifier, jwt.encode(mint.claims(), other, algorithm="EdDSA", headers=headers))


def test_a_key_in_the_header_is_not_believed(mint: Mint, verifier: TokenVerifier) -> None:
    other = Ed25519PrivateKey.generate()
    headers = {"kid": mint.kid, "jwk": public_jwk(other), "jku": "http://127.0.0.1/jwks.json"}
    refused(verifier, jwt.encode(mint.claims(), other, algorithm="EdDSA", headers=headers))


def test_a_critical_header_that_nobody_knows_is_refused(mint: Mint, verifier: TokenVerifier) -> None:
    refused(verifier, mint.sign(mint.claims(), crit=["b64"], b64=False))


def test_a_changed_claim_breaks_the_signature(mint: Mint, verifier: TokenVerifier) -> None:
    head, _, signature = mint.token("alice").split(".")
    refused(verifier, f"{head}.{part(mint.claims('mallory'))}.{signature}")


def test_the_keys_kind_decides_the_algorithm(mint: Mint, verifier: TokenVerifier) -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1())
    modulus = rsa.generate_private_key(65537, 2048)
    keys = json.loads(mint.settings.jwks_file.read_text())["keys"]
    keys.append(json.loads(jwt.algorithms.ECAlgorithm.to_jwk(elliptic.public_key())) | {"kid": "ec"})
    keys.append(json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(modulus.public_key())) | {"kid": "rsa"})
    keys.append({"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(b"s" * 32).decode()})
    mint.settings.jwks_file.write_text(json.dumps({"keys": keys}))
    claims = mint.claims()
    verifier.verify(jwt.encode(claims, elliptic, algorithm="ES256", headers={"kid": "ec"}))
    verifier.verify(jwt.encode(claims, modulus, algorithm="RS256", headers={"kid": "rsa"}))
    refused(verifier, jwt.encode(claims, modulus, algorithm="PS256", headers={"kid": "rsa"}))
    refused(verifier, jwt.encode(claims, elliptic, algorithm="ES256", headers={"kid": "rsa"}))
    refused(verifier, jwt.encode(claims, b"s" * 32, algorithm="HS256", headers={"kid": "shared"}))


def test_a_key_that_was_taken_out_lets_nobody_in_any_more(mint: Mint) -> None:
    clock = Hand()
    keys = KeyFile(mint.settings.jwks_file, wall=wall_clock, clock=clock)
    verifier = TokenVerifier(keys, issuer="wakebridge", audience="wakebridge")
    token = mint.token()
    verifier.verify(token)
    other = public_jwk(Ed25519PrivateKey.generate())
    mint.settings.jwks_file.write_text(json.dumps({"keys": [other]}))
    clock.now += 1.1
    refused(verifier, token)


def test_a_file_that_cannot_be_read_withdraws_no_key(mint: Mint) -> None:
    clock = Hand()
    verifier = TokenVerifier(
        KeyFile(mint.settings.jwks_file, wall=wall_clock, clock=clock),
        issuer="wakebridge",
        audience="wakebridge",
    )
    verifier.verify(mint.token())
    for text in ("{", "[]", '{"keys": 1}'):
        mint.settings.jwks_file.write_text(text)
        clock.now += 1.1
        verifier.verify(mint.token())


def test_without_keys_nobody_is_let_in(tmp_path: Path, mint: Mint) -> None:
    missing = TokenVerifier(
        KeyFile(tmp_path / "nothing.json", wall=wall_clock), issuer="wakebridge", audience="wakebridge"
    )
    refused(missing, mint.token(), Unavailable)


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


def test_what_is_signed_here_is_let_in_here(mint: Mint, verifier: TokenVerifier) -> None:
    signer = TokenSigner(mint.settings.signing_key_file, issuer="wakebridge", audience="wakebridge")
    tokens = JwtTokens(verifier, Denylist(lambda _workspace: Revocations()), signer)
    now = wall_clock()
    claims = replace(CLAIMS, iat=now, exp=float(int(now) + 60))
    assert tokens.verify(tokens.sign(claims)) == claims


def test_a_signing_key_that_others_can_read_signs_nothing(mint: Mint) -> None:
    mint.settings.signing_key_file.chmod(0o644)
    signer = TokenSigner(mint.settings.signing_key_file, issuer="wakebridge", audience="wakebridge")
    with pytest.raises(Unavailable):
        signer.sign(CLAIMS)
