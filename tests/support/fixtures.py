"""Fixtures that every test with a database shares; `tests/conftest.py` loads them.

`servers` (one cluster a run), `database_url` (a clone of the migrated template for this test), `owner` (SQL past every
policy), `clock` (stops the database's clock), `ids`, `gateway`, `policies`, `deps`, `caller(...)`, `world`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge.config import Settings
from bridge.core.caller import Caller
from bridge.db.deps import Deps
from bridge.db.uow import Database
from bridge.stack.servers import EmbeddedServers, embedded_servers
from tests.support.postgres import Owner, fresh_database, make_template
from tests.support.world import Clock, FixedPolicies, OrderedIds, RecordingGateway, World, make_caller


@dataclass(frozen=True)
class Servers:
    """Where this run's servers are."""

    database_url: str
    broker_url: str


class Cluster:
    """The cluster of an xdist run: started by the controller, told to each worker."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._servers: EmbeddedServers | None = None

    def urls(self) -> dict[str, str]:
        """The addresses, of servers that run."""
        if self._servers is None:
            self._folder = tempfile.TemporaryDirectory(prefix="wb-", ignore_cleanup_errors=True)
            self._servers = EmbeddedServers(Path(self._folder.name))
            self._servers.start()
        return {"database_url": self._servers.database_url, "broker_url": self._servers.broker_url}

    def stop(self) -> None:
        """Nothing of it is left."""
        if self._servers is not None and self._folder is not None:
            self._servers.stop()
            self._folder.cleanup()


_shared = Cluster()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401  xdist's own
    """Hand the cluster's addresses to a new xdist worker."""
    node.workerinput["servers"] = _shared.urls()


def pytest_unconfigure() -> None:
    """The controller's cluster ends with the run."""
    _shared.stop()


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """Postgres and Valkey, the same for the whole run."""
    given = getattr(request.config, "workerinput", {}).get("servers")
    if given:
        yield Servers(**given)
        return
    with (
        tempfile.TemporaryDirectory(prefix="wb-", ignore_cleanup_errors=True) as folder,
        embedded_servers(Path(folder)) as running,
    ):
        yield Servers(running.database_url, running.broker_url)


@pytest.fixture(scope="session")
def template(servers: Servers) -> str:
    """The name of the migrated database that each test gets a clone of."""
    return make_template(servers.database_url)


@pytest.fixture
def database_url(servers: Servers, template: str) -> Iterator[str]:
    """A migrated database of this test's own, in SQLAlchemy's form."""
    with fresh_database(servers.database_url, template) as url:
        yield url


@pytest.fixture
def broker_url(servers: Servers) -> str:
    """The run's one Valkey: what a test puts there it takes away."""
    return servers.broker_url


@pytest.fixture
def settings(database_url: str, broker_url: str, tmp_path: Path) -> Settings:
    """Settings of a process on this test's database."""
    return Settings(data_dir=tmp_path, database_url=database_url, broker_url=broker_url)


@pytest.fixture
def owner(database_url: str) -> Iterator[Owner]:
    """SQL as the owner: to arrange and to look."""
    found = Owner(database_url)
    yield found
    found.close()


@pytest.fixture
def clock(owner: Owner) -> Clock:
    """Stops the database's clock at 2030-01-01; the test moves it."""
    return Clock(owner)


@pytest.fixture
def ids() -> OrderedIds:
    """Ids in order."""
    return OrderedIds()


@pytest.fixture
def gateway() -> RecordingGateway:
    """The doorbell, remembered."""
    return RecordingGateway()


@pytest.fixture
def policies() -> FixedPolicies:
    """The policy in force; a test may put in another whole one."""
    return FixedPolicies()


@pytest.fixture
def deps(
    settings: Settings, ids: OrderedIds, gateway: RecordingGateway, policies: FixedPolicies
) -> Iterator[Deps]:
    """What commands and queries are handed, over the real database."""
    db = Database(settings.database_url_in_force, pool_size=20, pool_wait_s=10.0)
    yield Deps(db=db, ids=ids, gateway=gateway, policies=policies, settings=settings)
    db.close()


@pytest.fixture
def caller() -> Callable[..., Caller]:
    """`caller("alice", Role.OPERATOR)`: who calls; by default a participant of ws_1 in its own session."""
    return make_caller


@pytest.fixture
def world(deps: Deps, owner: Owner, gateway: RecordingGateway) -> World:
    """Life stages in workspace ws_1."""
    return World(deps, owner, gateway)
