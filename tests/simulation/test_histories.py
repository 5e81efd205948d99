"""A short run of histories: seeds of its own each time, and some that stay. `make sim` plays thousands."""

import re
import secrets

import pytest

from bridge.core.errors import Conflict
from bridge.simulation.__main__ import SEEDS, main
from bridge.simulation.engine import Engine, Park, Steps
from bridge.simulation.report import Report
from bridge.simulation.store import Store
from bridge.simulation.world import play
from tests.simulation.mutants import MUTANTS


def played(first: int, count: int) -> Report:
    report = Report()
    for seed in range(first, first + count):
        report.add(play(seed))
    return report


def test_every_rule_holds_in_fresh_histories(capsys: pytest.CaptureFixture[str]) -> None:
    first = secrets.randbelow(SEEDS)
    with capsys.disabled():
        print(f" seeds {first}..{first + 149}", end="")
    report = played(first, 150)
    if report.broken is not None:
        pytest.fail(f"{report.broken.broken}: make sim N=1 SEED={report.broken.seed} ARGS=--trace")


def test_two_hundred_histories_come_by_every_rule_of_the_table_and_every_kind_of_trouble() -> None:
    report = played(1, 200)
    assert report.broken is None
    assert report.never_exercised() == []
    for what in (
        "acked",
        "already_active",
        "cancelled",
        "failed",
        "typed again",
        "refused by its fence",
        "carried out by the standby",
        "workers killed",
        "killed touching",
        "killed typed, Enter not pressed",
        "frozen before the first byte",
        "rings lost",
        "rings doubled",
        "sessions ended",
        "evidence absent",
        "evidence gone",
        "evidence stranded",
        "attempt live",
        "attempt resume",
        "attempt spawn",
        "stalls",
        "thread blocked",
        "processes",
        "run exited",
        "run crashed",
        "run killed",
        "run lost",
        "runs ended by their fence",
        "seats taken",
        "starts for dead agents",
        "hosts cut off",
        "workers frozen",
        "database restarts",
        "holds",
        "releases",
        "waits for a hold",
        "forced through a hold",
    ):
        assert report.counts[what], what


def test_the_same_seed_is_the_same_history() -> None:
    first, again = play(7, trace=True), play(7, trace=True)
    assert first.trace == again.trace
    assert first.counts == again.counts
    assert first.trace != play(8, trace=True).trace


def test_the_program_says_what_was_played_and_that_it_held(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--histories", "3", "--seed", "11", "--jobs", "1"]) == 0
    said = capsys.readouterr().out
    assert "3 histories from seed 11" in said
    assert "every rule held" in said


def test_a_lock_is_waited_for_in_turn_and_given_up_after_a_second() -> None:
    engine = Engine()
    store = Store(engine)
    seen: list[tuple[str, float]] = []

    def hold(name: str, seconds: float) -> Steps[None]:
        uow = store.begin(name)
        try:
            yield from uow.lock("row")
            seen.append((name, engine.us / 1e6))
            yield seconds
        except Conflict:
            seen.append((f"{name} gives up", engine.us / 1e6))
        finally:
            uow.end()

    for name, seconds in (("a", 0.5), ("b", 0.9), ("c", 0.1)):
        engine.start(hold(name, seconds))
    engine.run(5)
    assert seen == [("a", 0.0), ("b", 0.5), ("c gives up", 1.0)]


def test_who_dies_in_a_transaction_leaves_nothing_and_no_lock() -> None:
    engine = Engine()
    store = Store(engine)

    def write() -> Steps[None]:
        uow = store.begin()
        try:
            yield from uow.lock("row")
            uow.put("row", value=1)
            yield Park()
            uow.commit()
        finally:
            uow.end()

    process = engine.start(write())
    engine.run(1)
    assert store.is_locked("row")
    process.kill()
    assert not store.is_locked("row")
    assert store.get("row") is None


def test_a_broken_rule_ends_the_run_with_its_seed_and_its_story(capsys: pytest.CaptureFixture[str]) -> None:
    planted = MUTANTS["> for >= at due"].planted
    assert planted is not None
    with planted():
        assert main(["--histories", "5", "--seed", "1", "--jobs", "1"]) == 1
    said = capsys.readouterr().out
    assert "opened for" in said
    assert "BROKEN: a wake that is looked at when due moves on" in said
    assert re.search(r"make sim N=1 SEED=[1-5] ARGS=--trace", said), said
