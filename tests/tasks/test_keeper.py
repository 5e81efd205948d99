"""The keeper: every row is rung at its time, by one keeper, and only while rings arrive."""

import signal
import threading
import time
from collections.abc import Sequence

import pytest

from bridge.bootstrap import Container, build
from bridge.core.errors import Unavailable
from bridge.core.states import WaitReason, WakeState
from bridge.ports.gateway import Ring
from bridge.ports.keeper import DueRow
from bridge.ports.tasks import TIMERS, host_queue
from bridge.stack.servers import EmbeddedServers
from tasks.keeper import Keeper
from tests.tasks.world import World, queued, until


class Bell:
    """Remembers when each row was rung; broken, it raises."""

    def __init__(self) -> None:
        self.rung: list[tuple[float, Ring]] = []
        self.broken = False

    def probe(self) -> None:
        if self.broken:
            raise Unavailable("the broker does not answer")

    def knows(self, queue: str) -> bool:
        return queue != "host.typo"

    def publish(self, rings: Sequence[Ring]) -> None:
        self.probe()
        self.rung += [(time.monotonic(), ring) for ring in rings]

    @property
    def rows(self) -> list[str]:
        return [ring.row_id for _, ring in self.rung]


class Script:
    """Rows as a keeper is given them: what is due when, and what it said about them."""

    def __init__(self, *rows: DueRow) -> None:
        self.rows = list(rows)
        self.takes = 0
        self.confirmed: list[str] = []
        self.cleared: list[str] = []

    def take_due(self) -> list[DueRow]:
        self.takes += 1
        rows, self.rows = self.rows, []
        return rows

    def take_overdue(self, host: str | None, limit: int) -> list[DueRow]:
        raise NotImplementedError

    def confirm(self, wake_ids: Sequence[str]) -> None:
        self.confirmed += wake_ids

    def clear(self, wake_ids: Sequence[str]) -> None:
        self.cleared += wake_ids


def row(wake_id: str, due_in_s: float, *, host: str = "local", seen: bool = True) -> DueRow:
    return DueRow("ws", wake_id, host, seen, WakeState.PENDING, WaitReason.BACKOFF, False, due_in_s)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TestByAFakeClock:
    def test_each_row_is_rung_at_its_time_and_the_step_says_when_to_come_back(self) -> None:
        clock, bell = Clock(), Bell()
        keeper = Keeper(Script(row("a", 0.25), row("b", 0.75), row("late", -3)), bell, clock)

        assert keeper.step() == pytest.approx(0.25)
        assert bell.rows == ["late"]
        clock.now += 0.25
        assert keeper.step() == pytest.approx(0.5)
        assert bell.rows == ["late", "a"]
        clock.now += 0.5
        assert keeper.step() == pytest.approx(0.25)
        assert bell.rows == ["late", "a", "b"]

    def test_it_takes_once_a_second(self) -> None:
        clock, rows = Clock(), Script()
        keeper = Keeper(rows, Bell(), clock)
        for _ in range(40):
            keeper.step()
            clock.now += 0.125
        assert rows.takes == 5

    def test_what_could_not_be_rung_is_given_back_and_nothing_more_is_taken(self) -> None:
        clock, bell, rows = Clock(), Bell(), Script(row("a", 0))
        bell.broken = False
        keeper = Keeper(rows, bell, clock)
        keeper.step()
        rows.rows = [row("b", 0)]
        bell.broken = True
        keeper._doubtful = False
        clock.now += 1
        keeper.step()
        assert rows.cleared == ["b"]
        takes = rows.takes
        for _ in range(20):
            clock.now += 1
            keeper.step()
        assert rows.takes == takes

    def test_it_takes_again_when_the_broker_answers(self) -> None:
        clock, bell, rows = Clock(), Bell(), Script(row("a", 0))
        bell.broken = True
        keeper = Keeper(rows, bell, clock)
        keeper.step()
        assert rows.takes == 0
        bell.broken = False
        clock.now += 10
        keeper.step()
        assert rows.confirmed == ["a"]

    def test_rows_of_a_host_that_is_not_seen_go_to_the_timers(self) -> None:
        bell = Bell()
        Keeper(Script(row("a", 0, seen=False), row("b", 0)), bell, Clock()).step()
        assert {ring.row_id: ring.queue for _, ring in bell.rung} == {"a": TIMERS, "b": host_queue("local")}

    def test_a_row_whose_queue_nobody_knows_is_not_rung_and_holds_up_no_other(self) -> None:
        bell = Bell()
        Keeper(Script(row("a", 0, host="typo"), row("b", 0)), bell, Clock()).step()
        assert bell.rows == ["b"]


def open_wakes(world: World, count: int) -> list[str]:
    """Wakes that were opened and rung by nobody."""
    readers = [f"reader-{number:03}" for number in range(count)]
    posted = [wake for start in range(0, count, 40) for wake in _post(world, readers[start : start + 40])]
    world.container.gateway.drain(5)
    return posted


def _post(world: World, readers: list[str]) -> list[str]:
    return [wake.wake_id for wake in world.post(world.thread(*readers)).wakes]


def run(keeper: Keeper, stop: threading.Event) -> None:
    """Step and wait, as beat does."""
    while not stop.wait(keeper.step()):
        pass


def test_rows_are_rung_milliseconds_after_their_time(world: World) -> None:
    world.host_seen()
    wakes = open_wakes(world, 60)
    base = time.monotonic()
    for number, wake in enumerate(wakes):
        world.due(wake, 1.5 + number * 0.02 - (time.monotonic() - base))
    bell, stop = Bell(), threading.Event()
    thread = threading.Thread(target=run, args=(Keeper(world.container.keeping, bell), stop))
    thread.start()
    until(lambda: set(wakes) <= set(bell.rows), "a ring for each row")
    stop.set()
    thread.join()

    late = sorted(at - (base + 1.5 + wakes.index(ring.row_id) * 0.02) for at, ring in bell.rung)
    print(f"lateness ms: p50 {late[30] * 1000:.1f} p95 {late[57] * 1000:.1f} max {late[-1] * 1000:.1f}")
    assert late[0] > -0.05, "a ring before its time says nothing"
    assert sorted(bell.rows) == sorted(wakes)
    rung_for_s = world.rung_for_s(wakes[0])
    assert rung_for_s is not None
    assert 5 <= rung_for_s < 7


def test_two_keepers_take_each_row_once(container: Container, world: World) -> None:
    wakes = open_wakes(world, 200)
    for wake in wakes:
        world.due(wake, 0.3)
    other = build(container.settings, process="beat")
    bells = [Bell(), Bell()]
    barrier = threading.Barrier(2)

    def keep(keeping: Keeper) -> None:
        barrier.wait()
        while not rung.is_set():
            pause.wait(keeping.step())
        keeping.step()  # a row that was rung already would be rung again now

    pause, rung = threading.Event(), threading.Event()
    keepers = [Keeper(container.keeping, bells[0]), Keeper(other.keeping, bells[1])]
    threads = [threading.Thread(target=keep, args=(keeper,)) for keeper in keepers]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(bells[0].rows + bells[1].rows) >= len(wakes), "every row was rung")
    finally:
        rung.set()
        for thread in threads:
            thread.join()
    other.close()

    assert sorted(bells[0].rows + bells[1].rows) == sorted(wakes)


def test_a_keeper_rings_through_the_broker_and_again_when_the_broker_forgot(
    servers: EmbeddedServers, container: Container, world: World
) -> None:
    world.host_seen()
    wake = open_wakes(world, 1)[0]
    world.due(wake, 0)
    keeper = Keeper(container.keeping, container.publisher)
    keeper.step()
    assert queued(servers, host_queue(world.host))[0]["task"] == "wake.attempt"
    world.due(wake, -6, rung_s=5)

    def again() -> bool:
        keeper.step()
        return len(queued(servers, host_queue(world.host))) > 1

    until(again, "a second ring for a row that nobody claimed")


def test_a_keeper_takes_nothing_while_the_broker_is_frozen(
    servers: EmbeddedServers, container: Container, world: World
) -> None:
    wake = open_wakes(world, 1)[0]
    world.due(wake, 0)
    servers.signal("broker", signal.SIGSTOP)
    keeper = Keeper(container.keeping, container.publisher)
    keeper.step()
    servers.signal("broker", signal.SIGCONT)
    assert world.rung_for_s(wake) is None


def test_a_note_that_comes_too_late_says_nothing(container: Container, world: World) -> None:
    wake = open_wakes(world, 1)[0]
    world.due(wake, 60)
    container.keeping.confirm([wake])
    assert world.rung_for_s(wake) is None
    world.due(wake, 0, rung_s=1)
    container.keeping.clear([wake])
    assert world.rung_for_s(wake) is None


def test_one_workspace_cannot_crowd_out_another(container: Container, world: World) -> None:
    wakes = open_wakes(world, 240)
    for wake in wakes:
        world.due(wake, -60)
    taken = [row for row in container.keeping.take_due() if row.workspace_id == world.workspace]
    assert 0 < len(taken) <= 200
