"""Bearer tokens: JWTs with public keys, checked here, made by the web process alone.

Rules of this file:

- The key decides the algorithm (`kty`), the token's header only has to agree: `none` and HMAC do not exist.
- What was verified once is kept by the token's hash; its time and the denylist are asked at every use.
- No copy of the denylist older than 0.4 s is used; one that cannot be refreshed means Unavailable.
- `exp` and `iat` are wall clock by definition: the one reason to read it here.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.adapters.keysets import AllKeys, IssuerKeys, KeyFile, KeySource
from bridge.config import Settings
from bridge.core.errors import (
    OutOfScopeWorkspace,
    TokenExpired,
    TokenRevoked,
    Unauthorized,
    Unavailable,
)
from bridge.core.names import NAME_PATTERN, WORKSPACE_PATTERN, fits
from bridge.core.states import Role
from bridge.ports.tokens import Claims, Revocations

log = structlog.get_logger(__name__)

LIFE_S_MAX = 3600
LEEWAY_S = 5.0
TOKEN_CHARS_MAX = 8192
VERIFIED_MAX = 10_000
DENYLIST_AGE_S_MAX = 0.4
"""From the question on: with the answer's time, or the turn of a call that waits, it is less than a second."""
WORKSPACES_MAX = 10_000
REQUIRED = ("agent_id", "workspace_id", "role", "session_id", "iat", "exp", "jti", "iss", "aud")

Clock = Callable[[], float]


def wall_clock() -> float:
    """Seconds since the epoch, as tokens count them."""
    return time.time()  # noqa: TID251  exp and iat are defined by it


class TokenVerifier:
    """Signature, claims and time of a token."""

    def __init__(self, keys: KeySource, *, issuer: str, audience: str, clock: Clock = wall_clock) -> None:
        self._keys, self._issuer, self._audience, self._clock = keys, issuer, audience, clock
        self._lock = threading.Lock()
        self._verified: OrderedDict[bytes, Claims] = OrderedDict()
        self._generation = 0

    def verify(self, token: str) -> Claims:
        """The token's claims. Raises Unauthorized, TokenExpired, Unavailable."""
        if not token or len(token) > TOKEN_CHARS_MAX:
            raise Unauthorized
        self._keys.refresh()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        claims = self._remembered(digest)
        if claims is None:
            claims = self._claims(self._payload(token))
            self._remember(digest, claims)
        self.check_time(claims)
        return claims

    def check_time(self, claims: Claims) -> None:
        """Raise TokenExpired, or Unauthorized before its time."""
        now = self._clock()
        if claims.exp <= now - LEEWAY_S:
            raise TokenExpired
        if claims.iat > now + LEEWAY_S:
            raise Unauthorized("the token is not valid yet")

    def _payload(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            known = self._keys.find(kid) if isinstance(kid, str) else None
            if known is None or header.get("alg") != known.algorithm or "crit" in header:
                raise Unauthorized("the token is signed with a key or algorithm that is not accepted")
            payload: dict[str, Any] = jwt.decode(
                token,
                known.key,
                algorithms=[known.algorithm],
                issuer=self._issuer,
                audience=self._audience,
                options={
                    "require": list(REQUIRED),
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise Unauthorized("the token is not valid") from error
        return payload

    def _claims(self, payload: dict[str, Any]) -> Claims:
        issued, expires = _number(payload["iat"]), _number(payload["exp"])
        begins = _number(payload.get("nbf", issued))
        texts = {name: payload[name] for name in ("agent_id", "workspace_id", "session_id", "jti")}
        for name, value in texts.items():
            pattern = WORKSPACE_PATTERN if name == "workspace_id" else NAME_PATTERN
            if not isinstance(value, str) or not fits(pattern, value):
                raise Unauthorized(f"the token's {name} is not a name")
        if payload["role"] not in list(Role):
            raise Unauthorized("the token's role is not known")
        if not 0 < expires - issued <= LIFE_S_MAX:
            raise Unauthorized("the token lives for longer than an hour")
        return Claims(role=Role(payload["role"]), iat=max(issued, begins), exp=expires, **texts)

    def _remembered(self, digest: bytes) -> Claims | None:
        with self._lock:
            if self._generation != self._keys.generation:
                self._generation = self._keys.generation
                self._verified.clear()
            claims = self._verified.get(digest)
            if claims is not None:
                self._verified.move_to_end(digest)
            return claims

    def _remember(self, digest: bytes, claims: Claims) -> None:
        with self._lock:
            self._verified[digest] = claims
            while len(self._verified) > VERIFIED_MAX:
                self._verified.popitem(last=False)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("1e12"):
        raise Unauthorized("the token's times are not numbers")
    return float(value)


class Denylist:
    """What has been revoked, by workspace; `load` reads it from the database."""

    def __init__(self, load: Callable[[str], Revocations], *, clock: Clock = time.monotonic) -> None:
        self._load, self._clock = load, clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Revocations]] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}
        self._failed_at: dict[str, float] = {}

    def check(self, claims: Claims) -> None:
        """Raises TokenRevoked, OutOfScopeWorkspace, Unavailable."""
        revoked = self._current(claims.workspace_id)
        if not revoked.served:
            raise OutOfScopeWorkspace
        if revoked.forbid(claims):
            raise TokenRevoked

    def forget(self, workspace_id: str) -> None:
        """Something was revoked here just now: the next check reads."""
        with self._lock:
            self._kept.pop(workspace_id, None)

    def _current(self, workspace_id: str) -> Revocations:
        fresh = self._fresh(workspace_id)
        if fresh is not None:
            return fresh
        asked_at = self._clock()
        with self._lock:
            loading = self._loading.setdefault(workspace_id, threading.Lock())
        # A crowd asks once: whoever waited here shares the answer, or the failure, of the one who asked.
        with loading:
            fresh = self._fresh(workspace_id)
            if fresh is not None:
                return fresh
            if asked_at < self._failed_at.get(workspace_id, float("-inf")):
                raise Unavailable("the denylist cannot be read")
            return self._read(workspace_id)

    def _fresh(self, workspace_id: str) -> Revocations | None:
        with self._lock:
            at, revoked = self._kept.get(workspace_id, (float("-inf"), None))
        return revoked if self._clock() - at < DENYLIST_AGE_S_MAX else None

    def _read(self, workspace_id: str) -> Revocations:
        asked_at = self._clock()
        try:
            revoked = self._load(workspace_id)
        except Unavailable:
            self._failed_at[workspace_id] = self._clock()
            raise
        with self._lock:
            self._kept[workspace_id] = (asked_at, revoked)
            self._kept.move_to_end(workspace_id)
            while len(self._kept) > WORKSPACES_MAX:
                gone, _ = self._kept.popitem(last=False)
                self._loading.pop(gone, None)
                self._failed_at.pop(gone, None)
        return revoked


class TokenSigner:
    """Makes tokens with an Ed25519 key; the file is read again when it changed, so that a new key needs no restart."""

    def __init__(self, file: Path, *, issuer: str, audience: str) -> None:
        self._file, self._issuer, self._audience = file, issuer, audience
        self._key: tuple[tuple[int, int, int], str, Ed25519PrivateKey] | None = None

    def sign(self, claims: Claims) -> str:
        """The token of these claims. Raises Unavailable where there is no key."""
        kid, key = self._current()
        payload = {name: getattr(claims, name) for name in Claims.__slots__}
        payload |= {
            "role": claims.role.value,
            "exp": int(claims.exp),
            "iss": self._issuer,
            "aud": self._audience,
        }
        return jwt.encode(payload, key, algorithm="EdDSA", headers={"kid": kid})

    def _current(self) -> tuple[str, Ed25519PrivateKey]:
        try:
            found = self._file.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if self._key is not None and self._key[0] == stamp:
                return self._key[1:]
            if found.st_mode & 0o077:
                raise Unavailable(f"{self._file} can be read by others: chmod 600 it")
            key = serialization.load_pem_private_key(self._file.read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise Unavailable("tokens cannot be made here: there is no signing key") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise Unavailable("the signing key is no Ed25519 key")
        self._key = (stamp, thumbprint(key), key)
        return self._key[1:]


def thumbprint(key: Ed25519PrivateKey) -> str:
    """The kid of a key: the RFC 7638 thumbprint of its public half."""
    raw = jwt.utils.base64url_encode(key.public_key().public_bytes_raw()).decode()
    canonical = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": raw}, separators=(",", ":")).encode()
    return jwt.utils.base64url_encode(hashlib.sha256(canonical).digest()).decode()


class JwtTokens:
    """The Tokens of a process: verifier, denylist, and a signer where the key is."""

    def __init__(self, verifier: TokenVerifier, denylist: Denylist, signer: TokenSigner) -> None:
        self._verifier, self._denylist, self._signer = verifier, denylist, signer

    def verify(self, token: str) -> Claims:
        """The claims of a token that is good now."""
        claims = self._verifier.verify(token)
        self._denylist.check(claims)
        return claims

    def recheck(self, claims: Claims) -> None:
        """Raise what `verify` would by now."""
        self._verifier.check_time(claims)
        self._denylist.check(claims)

    def sign(self, claims: Claims) -> str:
        """A token of these claims."""
        return self._signer.sign(claims)

    def revoked(self, workspace_id: str) -> None:
        """Something was revoked by this process: in force here at once, elsewhere within a second."""
        self._denylist.forget(workspace_id)


def tokens_of(settings: Settings, load: Callable[[str], Revocations]) -> JwtTokens:
    """The tokens that these settings describe."""
    issuer, audience = settings.token_issuer, settings.token_audience
    verifier = TokenVerifier(keys_of(settings), issuer=issuer, audience=audience)
    signer = TokenSigner(settings.signing_key_file, issuer=issuer, audience=audience)
    return JwtTokens(verifier, Denylist(load), signer)


def keys_of(settings: Settings) -> KeySource:
    """The stack's own keys, and its issuer's besides where one is named."""
    own = KeyFile(settings.jwks_file, wall=wall_clock)
    if settings.jwks_url is None:
        return own
    return AllKeys((own, IssuerKeys(settings.jwks_url, wall=wall_clock)))
