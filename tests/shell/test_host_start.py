"""A host's worker does not start on another schema, nor under a name that another machine holds."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.adapters.machine import PYPROJECT, code_version, machine
from bridge.config import Settings
from bridge.db.deps import Deps
from bridge.db.host_term import HostTerms
from bridge.db.keeper import Keeping
from bridge.db.migrate import head
from bridge.db.revisions import code_head
from bridge.db.uow import Database
from bridge.queries.host_start import why_not_start
from tests.support.fixtures import Servers
from tests.support.postgres import Owner, fresh_database
from tests.support.world import Clock

HERE, THERE = "here:boot:1", "there:boot:1"


@pytest.fixture
def terms(deps: Deps, clock: Clock) -> HostTerms:
    del clock
    return HostTerms(deps.db, Keeping(deps.db))


def test_a_name_that_another_machine_holds_is_refused_until_its_term_is_over(
    deps: Deps, terms: HostTerms, clock: Clock
) -> None:
    assert why_not_start(deps, "east", HERE) is None
    assert terms.see("east", f"{THERE}/w1") == 1
    clock.advance(7)
    assert why_not_start(deps, "east", THERE) is None
    why = why_not_start(deps, "east", HERE)
    assert why is not None
    assert "held by another machine, there:boot:1, which was seen 7 s ago (its term is 20 s)" in why
    assert why_not_start(deps, "west", HERE) is None
    clock.advance(13)
    assert why_not_start(deps, "east", HERE) is None
    assert terms.see("east", f"{HERE}/w2") is None  # to the moment: the term itself is taken a little later
    clock.advance(0.1)
    assert terms.see("east", f"{HERE}/w2") == 2


@pytest.mark.parametrize(
    ("revision", "told"),
    [
        ("0001", "upgrade the bridge that the database belongs to"),
        ("9999", "upgrade Wakebridge on this machine"),
    ],
)
def test_another_schema_is_refused_and_both_are_named(
    deps: Deps, owner: Owner, revision: str, told: str
) -> None:
    owner.run("UPDATE alembic_version SET version_num = :revision", revision=revision)
    why = why_not_start(deps, "east", HERE)
    assert why is not None
    assert f"is at revision {revision} and this code needs {head()}" in why
    assert told in why


@pytest.fixture
def empty(servers: Servers, deps: Deps) -> Iterator[Deps]:
    with fresh_database(servers.database_url, None) as url:
        db = Database(url)
        yield replace(deps, db=db)
        db.close()


def test_a_database_that_was_never_migrated_is_refused(empty: Deps) -> None:
    assert "bridge db upgrade" in (why_not_start(empty, "east", HERE) or "")


def test_the_codes_revision_is_the_one_that_alembic_finds() -> None:
    assert code_head() == head() != ""


def test_two_run_directories_on_one_machine_are_two_machines(tmp_path: Path) -> None:
    one, two = (Settings(data_dir=tmp_path / name) for name in ("one", "two"))
    assert machine(one) == machine(one) != machine(two)
    assert machine(one).rpartition(":")[0] == machine(two).rpartition(":")[0]
    assert "/" not in machine(one)


def test_the_code_says_its_version() -> None:
    assert code_version() == tomllib.loads(PYPROJECT.read_text())["project"]["version"]
