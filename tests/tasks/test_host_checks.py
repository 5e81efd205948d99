"""Before and after a host's worker: where it does not start at all, and how it lets its runs end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.adapters.machine import machine
from bridge.bootstrap import Container
from bridge.config import Settings, child_environment, inherited_environment
from bridge.core.errors import Unavailable
from bridge.stack.servers import EmbeddedServers
from bridge.stack.services import host_command
from tasks.base import Scope
from tasks.host_checks import refuse_host
from tasks.host_drain import let_runs_end
from tests.support.postgres import Owner

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scope(settings: Settings) -> Scope:
    return Scope(settings)


def test_a_worker_does_not_start_under_a_name_that_another_machine_holds(
    scope: Scope, container: Container, settings: Settings
) -> None:
    assert refuse_host(scope)
    assert container.hosts.see(settings.host_name, f"{machine(settings)}/w1")
    assert refuse_host(scope)
    with container.db.plain() as connection:
        connection.exec_driver_sql(
            "UPDATE hosts SET holder = 'elsewhere:boot:cafe/w2', seen_at = bridge_now()"
        )
    with pytest.raises(
        SystemExit, match=r"^the host \S+ does not start: .* held by another machine, elsewhere:"
    ):
        refuse_host(scope)
    scope.close()


def test_a_database_that_is_silent_is_asked_again_later(settings: Settings) -> None:
    scope = Scope(
        settings.model_copy(update={"database_url": "postgresql+psycopg://nobody@/none?host=/none"})
    )
    assert not refuse_host(scope)
    scope.close()


def fewer_each_time(*runs: str) -> Callable[[], set[str]]:
    """Runs of which one more has ended at each look."""
    left = list(runs)

    def held() -> set[str]:
        found = set(left)
        del left[:1]
        return found

    return held


def test_runs_may_end_by_themselves_and_the_host_is_held_meanwhile() -> None:
    times = iter(range(100))
    renewed: list[int] = []

    def renew() -> None:
        renewed.append(1)
        raise Unavailable

    assert let_runs_end(fewer_each_time("a", "b", "c"), 60, renew, clock=lambda: float(next(times)))
    assert renewed


def test_runs_that_take_too_long_are_left_to_be_ended() -> None:
    times = iter(range(100))
    many = fewer_each_time(*(f"run_{n}" for n in range(100)))
    assert not let_runs_end(many, 2.5, lambda: None, clock=lambda: float(next(times)))


@pytest.mark.parametrize(
    ("arrange", "told"),
    [
        (
            "UPDATE hosts SET holder = 'elsewhere:boot:cafe/w', seen_at = bridge_now()",
            "held by another machine",
        ),
        ("UPDATE alembic_version SET version_num = '9999'", "the database is at revision 9999"),
    ],
    ids=["held", "skewed"],
)
def test_a_worker_started_by_hand_refuses_what_bridge_host_refuses(
    settings: Settings, container: Container, servers: EmbeddedServers, arrange: str, told: str
) -> None:
    container.hosts.see(settings.host_name, "nobody/w")
    owner = Owner(servers.database_url)
    revision = owner.value("SELECT version_num FROM alembic_version")
    owner.run(arrange)
    environment = inherited_environment() | child_environment(settings) | {"PYTHONPATH": str(ROOT)}
    argv = (sys.executable, *host_command(settings.host_name)[1:])
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    finally:
        owner.run("UPDATE alembic_version SET version_num = :revision", revision=revision)
        owner.close()
    assert done.returncode == 1
    assert f"the host {settings.host_name} does not start" in done.stderr
    assert told in done.stderr
