"""The composition root: the only place where adapters meet ports.

Rules of this file:

- `build` opens no connection and starts no thread: what it makes connects when it is first used. So a process
  may fork after it, and comes up while its database or broker is down.
- Everything a process needs hangs on its Container, and is closed with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from bridge.adapters.celery_gateway import CeleryGateway, Publisher
from bridge.adapters.figures import Scraped
from bridge.adapters.ids import Uuid7Ids
from bridge.adapters.policies import CachedPolicies, read_policy
from bridge.adapters.secret_patterns import SecretPatterns
from bridge.adapters.tokens import JwtTokens, tokens_of
from bridge.config import Settings
from bridge.db.backup import BackupDatabase
from bridge.db.deps import Deps
from bridge.db.host_term import HostTerms
from bridge.db.keeper import Keeping
from bridge.db.policy_store import policy_loader
from bridge.db.retention import Retention
from bridge.db.revocation_store import revocations_loader
from bridge.db.run_watch import RunWatch
from bridge.db.safety import Unsafe, check_database
from bridge.db.service_store import BoundServices
from bridge.db.ticks import Ticks
from bridge.db.uow import Database

Process = Literal["web", "worker", "host", "beat", "cli"]
KEEPER_POOL = 3
ARCHIVIST_POOL = 2
ARCHIVIST_STATEMENT_S, ARCHIVIST_LOCK_S = 60.0, 5.0


@dataclass
class Container:
    """What one process works with."""

    settings: Settings
    process: Process
    db: Database
    keeper_db: Database
    keeping: Keeping
    gateway: CeleryGateway
    deps: Deps
    hosts: HostTerms
    runs: RunWatch
    services: BoundServices
    ticks: Ticks
    retention: Retention
    tokens: JwtTokens
    ids: Uuid7Ids = field(default_factory=Uuid7Ids)

    @cached_property
    def publisher(self) -> Publisher:
        """A connection of its own, for a thread that rings by itself: a keeper."""
        return Publisher(self.settings, self.keeping.host_names)

    @cached_property
    def archivist(self) -> Deps:
        """What archiving works with: a role that may remove whole threads. For whoever sits at the console."""
        db = Database(
            self.settings.database_url_in_force,
            role="archivist",
            pool_size=ARCHIVIST_POOL,
            statement_timeout_s=ARCHIVIST_STATEMENT_S,
            lock_timeout_s=ARCHIVIST_LOCK_S,
        )
        return replace(self.deps, db=db)

    def check_database(self) -> None:
        """Raise Unsafe for a database that could lose what it acknowledged; Unavailable when it does not answer."""
        check_database(self.db, test_clock=self.settings.test_clock)

    def close(self) -> None:
        """Send what is left to ring, and give all connections back."""
        self.gateway.close()
        if "publisher" in self.__dict__:
            self.publisher.close()
        if "archivist" in self.__dict__:
            self.archivist.db.close()
        self.db.close()
        self.keeper_db.close()


def build(settings: Settings, *, process: Process) -> Container:
    """Everything one process needs. Raises InvalidArgument for a policy file that is none."""
    ids = Uuid7Ids()
    db = Database(
        settings.database_url_in_force,
        pool_size=settings.db_pool_size,
        pool_wait_s=settings.db_pool_timeout_s,
    )
    keeper_db = Database(settings.database_url_in_force, role="keeper", pool_size=KEEPER_POOL)
    keeping = Keeping(keeper_db)
    gateway = CeleryGateway(Publisher(settings, keeping.host_names), keeping)
    seed = read_policy(settings.policy_file)
    policies = CachedPolicies(policy_loader(db, seed), seed)
    deps = Deps(
        db=db,
        ids=ids,
        gateway=gateway,
        policies=policies,
        settings=settings,
        figures=Scraped(),
        secrets=SecretPatterns(),
    )
    return Container(
        settings=settings,
        process=process,
        db=db,
        keeper_db=keeper_db,
        keeping=keeping,
        gateway=gateway,
        deps=deps,
        hosts=HostTerms(db, keeping),
        runs=RunWatch(keeper_db),
        services=BoundServices(db, keeping),
        ticks=Ticks(keeper_db),
        retention=Retention(db),
        tokens=tokens_of(settings, revocations_loader(db)),
        ids=ids,
    )


def prepare_database(settings: Settings) -> tuple[str, str]:
    """Bring the database to the head of the migrations; the revisions before and after."""
    from bridge.db.migrate import prepare  # noqa: PLC0415  Alembic is a quarter of a worker's start, which needs none

    return prepare(settings.database_url_in_force)


def backup_database(settings: Settings) -> BackupDatabase:
    """The database as backing up and restoring see it."""
    return BackupDatabase(settings.database_url_in_force)


__all__ = [
    "BackupDatabase",
    "Container",
    "Deps",
    "Process",
    "Unsafe",
    "backup_database",
    "build",
    "prepare_database",
]
