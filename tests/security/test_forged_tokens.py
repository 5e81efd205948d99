"""Impersonation: a token that somebody else has made, or changed, is nobody's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.adapters.tokens import TokenVerifier
from bridge.stack.keys import public_jwk
from tests.security.forging import part, refused
from tests.support.web import Mint


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "..", "é" * 20, "a" * 10_000, "\ud800"])
def test_what_is_no_token_is_refused(verifier: TokenVerifier, token: str) -> None:
    refused(verifier, token)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_an_unsigned_token_is_refused(forger: Mint, verifier: TokenVerifier, algorithm: str) -> None:
    header = {"alg": algorithm, "typ": "JWT", "kid": forger.kid}
    refused(verifier, f"{part(header)}.{part(forger.claims())}.")


def test_the_public_key_is_no_shared_secret(forger: Mint, verifier: TokenVerifier) -> None:
    public = forger.key.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': forger.kid})}.{part(forger.claims())}"
    for secret in (pem, public.public_bytes_raw(), public_jwk(forger.key)["x"].encode()):
        mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        refused(verifier, f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}")


def test_another_key_is_refused_whatever_kid_it_names(forger: Mint, verifier: TokenVerifier) -> None:
    other = Ed25519PrivateKey.generate()
    for headers in ({"kid": forger.kid}, {"kid": "unknown"}, {"kid": "../../etc/passwd"}, {}):
        refused(verifier, jwt.encode(forger.claims(), other, algorithm="EdDSA", headers=headers))


def test_a_key_in_the_header_is_not_believed(forger: Mint, verifier: TokenVerifier) -> None:
    other = Ed25519PrivateKey.generate()
    headers = {"kid": forger.kid, "jwk": public_jwk(other), "jku": "http://127.0.0.1/jwks.json"}
    refused(verifier, jwt.encode(forger.claims(), other, algorithm="EdDSA", headers=headers))


def test_a_critical_header_that_nobody_knows_is_refused(forger: Mint, verifier: TokenVerifier) -> None:
    refused(verifier, forger.sign(forger.claims(), crit=["b64"], b64=False))


def test_a_changed_claim_breaks_the_signature(forger: Mint, verifier: TokenVerifier) -> None:
    head, _, signature = forger.token("alice").split(".")
    refused(verifier, f"{head}.{part(forger.claims('mallory'))}.{signature}")


def test_the_keys_kind_decides_the_algorithm(forger: Mint, verifier: TokenVerifier) -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1())
    modulus = rsa.generate_private_key(65537, 2048)
    keys = json.loads(forger.settings.jwks_file.read_text())["keys"]
    keys.append(json.loads(jwt.algorithms.ECAlgorithm.to_jwk(elliptic.public_key())) | {"kid": "ec"})
    keys.append(json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(modulus.public_key())) | {"kid": "rsa"})
    keys.append({"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(b"s" * 32).decode()})
    forger.settings.jwks_file.write_text(json.dumps({"keys": keys}))
    claims = forger.claims()
    verifier.verify(jwt.encode(claims, elliptic, algorithm="ES256", headers={"kid": "ec"}))
    verifier.verify(jwt.encode(claims, modulus, algorithm="RS256", headers={"kid": "rsa"}))
    refused(verifier, jwt.encode(claims, modulus, algorithm="PS256", headers={"kid": "rsa"}))
    refused(verifier, jwt.encode(claims, elliptic, algorithm="ES256", headers={"kid": "rsa"}))
    refused(verifier, jwt.encode(claims, b"s" * 32, algorithm="HS256", headers={"kid": "shared"}))
