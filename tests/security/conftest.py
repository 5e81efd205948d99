"""The app in this process, as the tests of the web have it; and a forger, who has the stack's key and no server."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.adapters.keysets import KeyFile
from bridge.adapters.tokens import TokenVerifier, wall_clock
from bridge.config import Settings
from tests.security.forging import verifier_of
from tests.support.web import Mint
from tests.web.conftest import api, app, app_calls, mint, services, tokens

__all__ = ["api", "app", "app_calls", "mint", "services", "tokens"]


@pytest.fixture
def forger(tmp_path: Path) -> Mint:
    """Makes tokens with the right key, and with others."""
    return Mint(Settings(data_dir=tmp_path))


@pytest.fixture
def verifier(forger: Mint) -> TokenVerifier:
    """What checks them."""
    return verifier_of(KeyFile(forger.settings.jwks_file, wall=wall_clock))
