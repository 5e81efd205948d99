"""What the content filter does to a request, before anything else sees it.

Rules of this file:

- Every text of the request is looked at, whatever its place: what others will read, what is audited, what is kept as it
  came. The same request comes out the same, so its digest is the same too.
- `refuse` names the places and the kinds, never the secret. `redact` puts `[redacted: KIND]` in its place.
- A secret that is a name (a key of an object) has no place to put something else: it is refused in both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bridge.core.errors import SecretFound

PLACES_MAX = 20
NAME_CHARS_MAX = 64


class ContentFilter(StrEnum):
    """What is done with a secret in what somebody writes."""

    OFF = "off"
    REDACT = "redact"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret from `start` to before `end` of a text."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Redaction:
    """That a secret of this kind was taken out, and where."""

    path: str
    kind: str


Find = Callable[[str], Sequence[Secret]]
"""The secrets in a text, in order, none within another."""


@dataclass(frozen=True, slots=True)
class Screened:
    """The request as it may go on, and what was taken out of it."""

    said: dict[str, Any]
    redacted: tuple[Redaction, ...] = ()


def screen(said: dict[str, Any], mode: ContentFilter, find: Find) -> Screened:
    """The request without secrets. Raises SecretFound where there are some that may not, or cannot, be taken out."""
    if mode is ContentFilter.OFF:
        return Screened(said)
    found: list[Redaction] = []
    named: list[Redaction] = []
    clean = _clean(said, "", find, found, named)
    refused = [*named, *found] if mode is ContentFilter.REFUSE else named
    if refused:
        raise _refusal(refused[:PLACES_MAX])
    return Screened(clean, tuple(found[:PLACES_MAX]))


def without(text: str, secrets: Sequence[Secret]) -> str:
    """The text with what stands for each secret."""
    parts, at = [], 0
    for secret in secrets:
        parts += [text[at : secret.start], f"[redacted: {secret.kind}]"]
        at = secret.end
    return "".join([*parts, text[at:]])


def _clean(value: Any, path: str, find: Find, found: list[Redaction], named: list[Redaction]) -> Any:  # noqa: ANN401
    """The value without secrets. The door has bounded how deep it is."""
    if isinstance(value, str):
        secrets = find(value)
        found += [Redaction(path, secret.kind) for secret in secrets]
        return without(value, secrets) if secrets else value
    if isinstance(value, list):
        return [_clean(item, _within(path, str(at)), find, found, named) for at, item in enumerate(value)]
    if isinstance(value, dict):
        clean = {}
        for name, item in value.items():
            secrets = find(name)
            named += [Redaction(path, secret.kind) for secret in secrets]
            clean[name] = _clean(item, _within(path, without(name, secrets)), find, found, named)
        return clean
    return value


def _within(path: str, name: str) -> str:
    short = name[:NAME_CHARS_MAX]
    return f"{path}.{short}" if path else short


def _refusal(places: Sequence[Redaction]) -> SecretFound:
    first = places[0]
    error = SecretFound(
        f"{first.path or 'a name'} has a secret in it ({first.kind}): say where it is kept, not what it is",
        path=first.path,
        places=[(place.path, place.kind) for place in places],
    )
    error.errors = [{"path": place.path, "message": f"a secret: {place.kind}"} for place in places]
    return error
