"""A world for each test, in a short directory (a socket's path has 107 bytes), cleared away after it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terminal.world import World


@pytest.fixture
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="wbt-", dir="/tmp") as directory:
        made = World(Path(directory))
        yield made
        made.close()
