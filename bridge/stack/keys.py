"""The keys of a stack: made at its first start, kept in `data_dir/keys`, never overwritten.

The private key belongs to the web process; the manager, which made it, uses it for two things besides: the
operator's token in stack.json, and the token of the stack's own host.
"""

import base64
import hashlib
import json
import secrets
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.config import Settings
from bridge.core.errors import OurError
from bridge.stack.embedded import private_dir
from bridge.stack.record import write_private

OPERATOR = "operator"
HOST = "host"
WORKSPACE = "default"
TOKEN_LIFE_S = 3600


class KeyUnusable(OurError):
    """The signing key cannot be used."""


def ensure_keys(settings: Settings) -> Ed25519PrivateKey:
    """Make what is missing of signing key, public keys and scrape token; give the signing key."""
    if not settings.signing_key_file.exists():
        private_dir(settings.signing_key_file.parent)
        write_private(settings.signing_key_file, _pem(Ed25519PrivateKey.generate()))
    key = load_signing_key(settings.signing_key_file)
    _publish(key, settings.jwks_file)
    if not settings.metrics_token_file.exists():
        private_dir(settings.metrics_token_file.parent)
        write_private(settings.metrics_token_file, secrets.token_urlsafe(32) + "\n")
    return key


def prepare_keys(settings: Settings, now: int) -> None:
    """As ensure_keys, and with a `token_file`, the host's first token into it: where no manager keeps a token fresh.

    The host renews it itself from then on, as long as it is not away for the token's whole life.
    """
    key = ensure_keys(settings)
    if settings.token_file is not None:
        session_id = f"{HOST}-{secrets.token_hex(8)}"
        agent_id = f"{HOST}:{settings.host_name}"
        token = stack_token(key, settings, agent_id, HOST, now=now, session_id=session_id)
        private_dir(settings.token_file.parent)
        write_private(settings.token_file, token + "\n")


def load_signing_key(file: Path) -> Ed25519PrivateKey:
    """Read the signing key; refuse one that others can read, or of another kind."""
    if file.stat().st_mode & 0o077:
        msg = f"{file} can be read by others: chmod 600 it, or better, make a new key"
        raise KeyUnusable(msg)
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except ValueError as error:
        msg = f"{file} is no private key in PEM"
        raise KeyUnusable(msg) from error
    if not isinstance(key, Ed25519PrivateKey):
        msg = f"{file} is no Ed25519 key"
        raise KeyUnusable(msg)
    return key


def public_jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    """The public half as a JWK; its `kid` is the RFC 7638 thumbprint."""
    raw = key.public_key().public_bytes_raw()
    required = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}
    canonical = json.dumps(required, sort_keys=True, separators=(",", ":")).encode()
    kid = _base64url(hashlib.sha256(canonical).digest())
    return required | {"kid": kid, "use": "sig", "alg": "EdDSA"}


def stack_token(
    key: Ed25519PrivateKey, settings: Settings, agent_id: str, role: str, *, now: int, session_id: str
) -> str:
    """A token for one of the stack's own, in the default workspace, good for an hour from `now` (seconds)."""
    claims = {
        "agent_id": agent_id,
        "workspace_id": WORKSPACE,
        "role": role,
        "session_id": session_id,
        "jti": secrets.token_hex(16),
        "iat": now,
        "exp": now + TOKEN_LIFE_S,
        "iss": settings.token_issuer,
        "aud": settings.token_audience,
    }
    return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": public_jwk(key)["kid"]})


def _publish(key: Ed25519PrivateKey, file: Path) -> None:
    """Add the public half to the key set, and leave the keys in it: tokens signed by them still live."""
    known = json.loads(file.read_text(encoding="utf-8"))["keys"] if file.exists() else []
    ours = public_jwk(key)
    if all(entry.get("kid") != ours["kid"] for entry in known):
        private_dir(file.parent)
        write_private(file, json.dumps({"keys": [ours, *known]}, indent=1) + "\n", mode=0o644)


def _pem(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
