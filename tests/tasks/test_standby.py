"""The standby: what is due and was rung by nobody is carried out, by whose it is."""

import threading

import pytest

from bridge.bootstrap import Container
from bridge.ports.keeper import DueRow
from tasks.standby import Standby
from tests.tasks.world import World, until


class Hands:
    """Notes what is executed; holds each until told."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.go_on = threading.Event()
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def execute(self, row: DueRow) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.rows.append(row.wake_id)
        self.go_on.wait(30)
        with self._lock:
            self._now -= 1


@pytest.fixture(name="hands")
def _hands() -> Hands:
    hands = Hands()
    hands.go_on.set()
    return hands


def opened(world: World) -> str:
    """A wake whose ring is over and done with."""
    posted = world.post(world.thread("reader"))
    world.container.gateway.drain(5)
    return posted.wakes[0].wake_id


def standby(container: Container, world: World, hands: Hands) -> Standby:
    return Standby(container.keeping, world.host, hands.execute)


def test_a_row_that_nobody_rang_is_executed_once(container: Container, world: World, hands: Hands) -> None:
    wake = opened(world)
    world.due(wake, -1.5)
    first, second = standby(container, world, hands), standby(container, world, hands)
    assert first.step() + second.step() == 1
    until(lambda: hands.rows, "the execution")
    assert hands.rows == [wake]
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("in_s", "rung_s"), [(-0.5, None), (5, None), (-1.5, 5)], ids=["just due", "not due", "validly rung"]
)
def test_a_row_that_others_look_after_is_left_to_them(
    container: Container, world: World, hands: Hands, in_s: float, rung_s: float | None
) -> None:
    world.due(opened(world), in_s, rung_s=rung_s)
    assert standby(container, world, hands).step() == 0


def test_a_ring_that_led_to_nothing_is_not_valid_for_ever(
    container: Container, world: World, hands: Hands
) -> None:
    world.due(opened(world), -6, rung_s=5)
    assert standby(container, world, hands).step() == 1


def test_no_more_than_its_slots_at_a_time(container: Container, world: World) -> None:
    hands = Hands()
    posted = world.post(world.thread(*(f"reader-{number:02}" for number in range(20))))
    world.container.gateway.drain(5)
    for wake in posted.wakes:
        world.due(wake.wake_id, -2)
    beside = standby(container, world, hands)

    assert beside.step() == 4
    assert beside.step() == 0
    until(lambda: len(hands.rows) == 4, "four hands")
    hands.go_on.set()
    until(lambda: beside.step() >= 0 and len(hands.rows) == 20, "all rows")

    assert hands.most <= 4
    assert sorted(hands.rows) == sorted(wake.wake_id for wake in posted.wakes)
    beside.close()


def test_another_hosts_rows_are_not_ours(container: Container, world: World, hands: Hands) -> None:
    world.due(opened(world), -2)
    assert Standby(container.keeping, "elsewhere", hands.execute).step() == 0


def test_the_general_worker_looks_after_rows_whose_host_is_not_seen(
    container: Container, world: World, hands: Hands
) -> None:
    wake = opened(world)
    general = Standby(container.keeping, None, hands.execute)
    world.host_seen()
    world.due(wake, -2)
    general.step()
    assert wake not in hands.rows
    with container.db.plain() as connection:
        connection.exec_driver_sql("UPDATE hosts SET seen_at = seen_at - interval '1 minute'")
    general.step()
    until(lambda: wake in hands.rows, "the execution")
    general.close()


def test_a_failing_row_frees_its_slot(container: Container, world: World) -> None:
    def fail(row: DueRow) -> None:
        raise RuntimeError(row.wake_id)

    beside = Standby(container.keeping, world.host, fail, slots=1)
    wake = opened(world)
    for _ in range(3):
        world.due(wake, -2)
        until(beside.step, "a free slot")
    beside.close()
