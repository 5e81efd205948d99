"""One bridge for all tests with real agents, in a network that has only `lo`; each test begins with a blank model.

Rules of this file:

- A machine that cannot give such a network, or has no clients, skips and says how to get them.
- Tests are inside the network while they run, and only then.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.homes import missing
from tests.agents.offline import Offline, why_not
from tests.agents.world import World


@pytest.fixture(name="network", scope="package")
def _network() -> Iterator[Offline]:
    refused = why_not() or missing()
    if refused:
        pytest.skip(refused)
    network = Offline()
    yield network
    network.close()


@pytest.fixture(name="_bridge", scope="package")
def _bridge_of_all(network: Offline) -> Iterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="wb-ag-", dir="/tmp"))
    with network.inside():
        world = World(folder)
    try:
        yield world
    finally:
        with network.inside():
            world.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(name="world")
def _world(_bridge: World, network: Offline) -> Iterator[World]:
    with network.inside():
        _bridge.calm()
        yield _bridge
