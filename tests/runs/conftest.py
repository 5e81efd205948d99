"""A host of its own for each test, short enough a path for anything, and nothing alive afterwards."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.world import World


@pytest.fixture(name="world")
def _world() -> Iterator[World]:
    data = Path(tempfile.mkdtemp(prefix="wb-runs-", dir="/tmp"))
    world = World(data)
    try:
        yield world
    finally:
        world.close()
        shutil.rmtree(data, ignore_errors=True)
