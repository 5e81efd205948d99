"""Real servers, a migrated database, and a world of its own (host, agents, thread) for each test."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.bootstrap import Container, build
from bridge.config import Settings
from bridge.db.migrate import upgrade
from bridge.stack.keys import ensure_keys
from bridge.stack.servers import EmbeddedServers
from tests.tasks.world import World, flush

_number = itertools.count(1)


@pytest.fixture(scope="session", name="servers")
def _servers() -> Iterator[EmbeddedServers]:
    data = Path(tempfile.mkdtemp(prefix="wb-tasks-"))
    servers = EmbeddedServers(data)
    servers.start()
    try:
        upgrade(servers.database_url)
        ensure_keys(servers.settings)
        yield servers
    finally:
        servers.stop()
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture(name="settings")
def _settings(servers: EmbeddedServers) -> Iterator[Settings]:
    """This test's own host; the broker is empty, whatever the test before did to it."""
    run_dir = Path(tempfile.mkdtemp(prefix="wb-run-"))
    settings = servers.settings.model_copy(
        update={
            "host_name": f"h{os.getpid()}-{next(_number)}",
            "run_dir": run_dir,
            "agents_dir": run_dir,
            "database_url": servers.database_url,
            "broker_url": servers.broker_url,
            "test_clock": True,
        }
    )
    flush(servers)
    yield settings
    shutil.rmtree(run_dir, ignore_errors=True)


@pytest.fixture(name="container")
def _container(settings: Settings) -> Iterator[Container]:
    container = build(settings, process="worker")
    yield container
    container.close()


@pytest.fixture(name="world")
def _world(container: Container) -> Iterator[World]:
    """A workspace of its own; nothing in it falls due when the test is over."""
    world = World(container)
    yield world
    world.close()
