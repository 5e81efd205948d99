"""Fixtures for tests with many hands: databases whose lock waits outlast the deadlock detector."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from bridge.config import Settings
from bridge.db.deps import Deps
from bridge.db.uow import Database
from tests.support.world import FixedPolicies, OrderedIds, RecordingGateway

LOCK_TIMEOUT_S = 30.0


@pytest.fixture
def process(
    settings: Settings, ids: OrderedIds, gateway: RecordingGateway, policies: FixedPolicies
) -> Iterator[Callable[[], Deps]]:
    """Makes what another process works with: a pool and a gate of its own.

    A lock is waited for longer than Postgres takes to find a deadlock (1 s), so that none hides behind a timeout.
    """
    made: list[Database] = []

    def make() -> Deps:
        db = Database(
            settings.database_url_in_force,
            pool_size=20,
            pool_wait_s=30.0,
            statement_timeout_s=60.0,
            lock_timeout_s=LOCK_TIMEOUT_S,
        )
        made.append(db)
        return Deps(db=db, ids=ids, gateway=gateway, policies=policies, settings=settings)

    yield make
    for db in made:
        db.close()
