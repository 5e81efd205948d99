"""The keys of a stack: made at its first start, kept in `data_dir/keys`, changed only by who asks for a new one.

A key that was rotated out stays among the public ones until all that it signed has expired: its `exp` says when.
The private key belongs to the web process; the manager, which made it, uses it for two things besides: the
operator's token in stack.json, and the token of the stack's own host.
"""

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
OVERLAP_S = TOKEN_LIFE_S + 60
"""The longest life of a token, its leeway, and clocks that are not quite the same."""


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


@dataclass(frozen=True)
class Rotated:
    """The key that signs now, and until when (seconds since the epoch) the old one's tokens are good; 0: no longer."""

    kid: str
    old_kid: str
    old_until: int


def rotate_key(settings: Settings, now: int, *, drop_old: bool = False) -> Rotated:
    """Sign with a new key from now on. Raises KeyUnusable where there is none yet, or it cannot be read.

    In this order: the new key is published, then signs, then the old one is given its end. Every process reads both
    files again by itself. With `drop_old`, whatever an old key signed is void at once.
    """
    with _alone(settings.signing_key_file.parent):
        old = public_jwk(load_signing_key(settings.signing_key_file))["kid"]
        key = Ed25519PrivateKey.generate()
        known = _known(settings.jwks_file)
        _write_keys(settings.jwks_file, [public_jwk(key), *known])
        write_private(settings.signing_key_file, _pem(key))
        until = 0 if drop_old else now + OVERLAP_S
        ended = [entry | {"exp": until} if entry.get("kid") == old else entry for entry in known]
        _write_keys(settings.jwks_file, [public_jwk(key), *_living(ended, now, drop_old=drop_old)])
    return Rotated(public_jwk(key)["kid"], old, until)


def _living(entries: Sequence[dict[str, Any]], now: int, *, drop_old: bool) -> list[dict[str, Any]]:
    """Those that still check tokens: without an end (an issuer's, put here by hand), or before it."""
    return [entry for entry in entries if "exp" not in entry or (entry["exp"] > now and not drop_old)]


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder, so that two who rotate do so one after the other. Raises KeyUnusable where there is none."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        msg = f"there are no keys in {folder}: the first `bridge up` makes them"
        raise KeyUnusable(msg) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


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


def stamp_of(file: Path) -> tuple[int, int] | None:
    """What changes with each writing of the file; None: it is not there."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino


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
    known, ours = _known(file), public_jwk(key)
    if ours not in known:
        private_dir(file.parent)
        _write_keys(file, [ours, *(entry for entry in known if entry.get("kid") != ours["kid"])])


def _known(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        json.loads(file.read_text(encoding="utf-8"))["keys"] if file.exists() else []
    )
    return found


def _write_keys(file: Path, entries: Sequence[dict[str, Any]]) -> None:
    write_private(file, json.dumps({"keys": list(entries)}, indent=1) + "\n", mode=0o644)


def _pem(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
