"""The public keys that check tokens: of a file, of an issuer's address, or of both.

Rules of this file:

- A key is found by its kid; its kind (`kty`) decides the algorithm. What is no public key of a known kind is left out.
- A key with an `exp` is gone at that time: it was rotated out, and all it signed has expired.
- A file is looked at once a second, and for each kid that nobody knows: who rotates need not wait.
- An issuer is asked in the background: when its keys are old, and, at most once in a while, for an unknown kid. No
  request waits longer than for one answer. While it is down its last keys hold, and an unknown one lets nobody in.

PyJWT's own client is not used: it reads in the request, follows redirects, and reads any number of bytes.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import httpx
import jwt
import structlog

from bridge.core.errors import Unavailable

log = structlog.get_logger(__name__)

FILE_AGE_S_MAX = 1.0
ISSUER_AGE_S_MAX = 300.0
ISSUER_PAUSE_S = 10.0
"""Between two questions to an issuer, whoever asks for what."""
ISSUER_TIMEOUT_S = 2.0
KEYS_BYTES_MAX = 256 * 1024
KEYS_MAX = 100
ALGORITHMS = {"OKP": "EdDSA", "EC": "ES256", "RSA": "RS256"}
RSA_BITS_MIN = 2048

Clock = Callable[[], float]


class PublicKey(NamedTuple):
    """A key, what it signs with, and until when (seconds since the epoch) it is good."""

    algorithm: str
    key: Any
    until: float = float("inf")


Keys = dict[str, PublicKey]


class KeySource(Protocol):
    """Where keys are found. `generation` grows whenever one may have gone."""

    @property
    def generation(self) -> int:
        """What was verified under another one is verified again."""
        ...

    def find(self, kid: str) -> PublicKey | None:
        """The key of a kid. Raises Unavailable while none could be read at all."""
        ...

    def refresh(self) -> None:
        """Look whether something changed, if the last look is old."""
        ...


class _Kept:
    """The keys that were read last, without those whose time is over."""

    def __init__(self, wall: Clock) -> None:
        self._wall = wall
        self._keys: Keys = {}
        self._first_until = float("inf")
        self.generation = 0

    def put(self, keys: Keys) -> None:
        self._keys = keys
        self._first_until = min((key.until for key in keys.values()), default=float("inf"))
        self.generation += 1

    def get(self, kid: str) -> PublicKey | None:
        return self._keys.get(kid)

    def drop_old(self) -> None:
        now = self._wall()
        if self._first_until <= now:
            self.put({kid: key for kid, key in self._keys.items() if key.until > now})


class KeyFile:
    """The keys of a JWKS file, read again when the file changed."""

    def __init__(self, file: Path, *, wall: Clock, clock: Clock = time.monotonic) -> None:
        self._file, self._clock = file, clock
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._stamp: tuple[int, int, int] | None = None
        self._kept = _Kept(wall)

    @property
    def generation(self) -> int:
        """Grows with each reading, and with each key whose time is over."""
        return self._kept.generation

    def find(self, kid: str) -> PublicKey | None:
        """The key of a kid. Raises Unavailable while there is no readable file."""
        self.refresh()
        found = self._kept.get(kid)
        if found is None:
            with self._lock:
                self._look()
            found = self._kept.get(kid)
        return found

    def refresh(self) -> None:
        """Look at the file, at most once a second."""
        with self._lock:
            if self._clock() - self._looked_at >= FILE_AGE_S_MAX:
                self._look()

    def _look(self) -> None:
        self._looked_at = self._clock()
        try:
            found = self._file.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                self._kept.put(parse_keys(self._file.read_text(encoding="utf-8")))
                self._stamp = stamp
        except (OSError, ValueError) as error:
            # A key is withdrawn by writing the file without it; one that cannot be read withdraws none.
            if self._stamp is None:
                self._looked_at = float("-inf")
                raise Unavailable("the keys that check tokens cannot be read") from error
            log.warning("keys.unreadable", file=str(self._file), why=type(error).__name__)
        self._kept.drop_old()


class IssuerKeys:
    """The keys of an issuer's address."""

    def __init__(
        self,
        url: str,
        *,
        wall: Clock,
        clock: Clock = time.monotonic,
        fetch: Callable[[str], str] | None = None,
    ) -> None:
        self._url, self._clock, self._fetch = url, clock, fetch or fetch_keys
        self._lock = threading.Lock()
        self._asked_at = self._read_at = float("-inf")
        self._asking: threading.Event | None = None
        self._kept = _Kept(wall)

    @property
    def generation(self) -> int:
        """Grows with each answer, and with each key whose time is over."""
        return self._kept.generation

    def find(self, kid: str) -> PublicKey | None:
        """The key of a kid, asked for if nobody knows it. Raises Unavailable while the issuer has never answered."""
        self.refresh()
        found = self._kept.get(kid)
        if found is None:
            asking = self._ask()
            if asking is not None:
                asking.wait(ISSUER_TIMEOUT_S)
            found = self._kept.get(kid)
        if found is None and self._read_at == float("-inf"):
            raise Unavailable("the issuer of tokens does not answer")
        return found

    def refresh(self) -> None:
        """Have old keys read again, in the background; until then they hold."""
        if self._clock() - self._read_at >= ISSUER_AGE_S_MAX:
            self._ask()
        with self._lock:
            self._kept.drop_old()

    def _ask(self) -> threading.Event | None:
        """What is set when the question that goes on is answered; None: it is too early for another one."""
        with self._lock:
            if self._asking is not None:
                return self._asking
            if self._clock() - self._asked_at < ISSUER_PAUSE_S:
                return None
            self._asked_at = self._clock()
            asking = self._asking = threading.Event()
        threading.Thread(target=self._read, args=(asking,), name="issuer-keys", daemon=True).start()
        return asking

    def _read(self, asking: threading.Event) -> None:
        try:
            keys = parse_keys(self._fetch(self._url))
            with self._lock:
                self._kept.put(keys)
                self._read_at = self._clock()
        except (httpx.HTTPError, OSError, ValueError) as error:
            log.warning("issuer.unreadable", why=type(error).__name__)
        finally:
            with self._lock:
                self._asking = None
            asking.set()


class AllKeys:
    """Several sources as one; the first that knows a kid is believed."""

    def __init__(self, sources: Sequence[KeySource]) -> None:
        self._sources = sources

    @property
    def generation(self) -> int:
        """Grows whenever one of theirs does."""
        return sum(source.generation for source in self._sources)

    def find(self, kid: str) -> PublicKey | None:
        """The key of a kid. Raises Unavailable when nobody knows it and somebody could not be asked."""
        away: Unavailable | None = None
        for source in self._sources:
            try:
                found = source.find(kid)
            except Unavailable as error:
                away = error
                continue
            if found is not None:
                return found
        if away is not None:
            raise away
        return None

    def refresh(self) -> None:
        """Refresh each; one that cannot be read says so when a key is looked for."""
        for source in self._sources:
            with contextlib.suppress(Unavailable):
                source.refresh()


def fetch_keys(url: str) -> str:
    """What the address answers with, bounded in time and size. Raises httpx.HTTPError, ValueError."""
    is_safe = url.startswith("https://")
    ends_at = time.monotonic() + ISSUER_TIMEOUT_S
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    with (
        httpx.Client(timeout=ISSUER_TIMEOUT_S, follow_redirects=False, trust_env=is_safe) as client,
        client.stream("GET", url, headers=headers) as answer,
    ):
        if answer.status_code != httpx.codes.OK:
            raise ValueError("the issuer did not answer with keys")
        return _bounded(answer.iter_raw(), ends_at).decode("utf-8")


def _bounded(chunks: Iterable[bytes], ends_at: float) -> bytes:
    found = bytearray()
    for chunk in chunks:
        found += chunk
        if len(found) > KEYS_BYTES_MAX or time.monotonic() > ends_at:
            raise ValueError("the issuer's answer is too large or too slow")
    return bytes(found)


def parse_keys(text: str) -> Keys:
    """The keys of a JWKS that can check tokens. Raises ValueError for what is no key set."""
    try:
        said = json.loads(text)
    except RecursionError as error:
        raise ValueError("no key set") from error
    entries = said.get("keys") if isinstance(said, dict) else None
    if not isinstance(entries, list):
        raise ValueError("no key set")  # noqa: TRY004  a file's form, not an argument's type
    usable = (entry for entry in entries[:KEYS_MAX] if isinstance(entry, dict))
    return {entry["kid"]: key for entry in usable if (key := _public_key(entry)) is not None}


def _public_key(entry: dict[str, Any]) -> PublicKey | None:
    algorithm = ALGORITHMS.get(str(entry.get("kty")))
    if algorithm is None or not isinstance(entry.get("kid"), str) or "d" in entry:
        return None
    if entry.get("use", "sig") != "sig" or entry.get("crv", "P-256") not in ("P-256", "Ed25519"):
        return None
    until = entry.get("exp", float("inf"))
    if isinstance(until, bool) or not isinstance(until, int | float):
        return None
    try:
        key = jwt.PyJWK(entry, algorithm=algorithm).key
    except jwt.PyJWTError:
        return None  # a key that is none lets nobody in; the others do
    if algorithm == "RS256" and key.key_size < RSA_BITS_MIN:
        return None
    return PublicKey(algorithm, key, until)
