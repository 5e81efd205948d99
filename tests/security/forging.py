"""Tokens as a forger makes them, and the check that they must not pass; no server is needed for it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from bridge.adapters.keysets import KeySource
from bridge.adapters.tokens import TokenVerifier, wall_clock
from bridge.core.errors import BridgeError, Unauthorized


class Hand:
    """A clock that is moved by hand."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def verifier_of(keys: KeySource, clock: Callable[[], float] = wall_clock) -> TokenVerifier:
    """The check of tokens by these keys."""
    return TokenVerifier(keys, issuer="wakebridge", audience="wakebridge", clock=clock)


def refused(verifier: TokenVerifier, token: str, expected: type[BridgeError] = Unauthorized) -> None:
    """The token is refused, for that reason."""
    with pytest.raises(BridgeError) as caught:
        verifier.verify(token)
    assert type(caught.value) is expected, caught.value.detail


def part(value: dict[str, Any]) -> str:
    """A header or payload, as a token has it."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
