"""The ticks: many are told to look, one looks; and each finds what it is for."""

import threading

import pytest
from prometheus_client import REGISTRY

from bridge.bootstrap import Container
from bridge.commands.attach_session import attach_session
from bridge.core.errors import Conflict, Unavailable
from bridge.db.agent_store import lock_session
from bridge.db.keeper import HOST_TERM_S
from bridge.ports.tasks import SUPERVISOR, TICK_TASKS, TaskName
from bridge.stack.servers import EmbeddedServers
from tasks import run_tick as ticks
from tasks.base import Scope
from tasks.beat import TICKS, Tick, beat_schedule
from tasks.figures import note_figures
from tests.tasks.world import World, queued


def count_takes(container: Container, name: str, hands: int) -> int:
    """So many hands at once; how many of them were told to run it."""
    barrier, told = threading.Barrier(hands), []

    def take(number: int) -> None:
        barrier.wait()
        told.append(container.ticks.take(name, 5.0, f"hand-{number}"))

    threads = [threading.Thread(target=take, args=(number,)) for number in range(hands)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(told)


def test_one_hand_runs_a_tick_however_many_are_told(container: Container, world: World) -> None:
    assert count_takes(container, f"tick.{world.host}", 3) == 1
    assert count_takes(container, f"tick.{world.host}", 3) == 0


def test_a_tick_is_taken_again_when_it_is_its_time(container: Container, world: World) -> None:
    name = f"tick.{world.host}"
    assert container.ticks.take(name, 0.0, "a")
    assert not container.ticks.take(name, 0.0, "b")
    container.ticks.give_back(name, "b")
    assert not container.ticks.take(name, 0.0, "b")
    container.ticks.give_back(name, "a")
    assert container.ticks.take(name, 0.0, "b")


def test_a_hand_that_died_holds_a_tick_no_longer_than_its_term(container: Container, world: World) -> None:
    name = f"tick.{world.host}"
    assert container.ticks.take(name, 0.0, "a", term_s=0.0)
    assert container.ticks.take(name, 0.0, "b")


def test_every_tick_has_a_row_in_the_schedule_a_queue_and_an_end() -> None:
    schedule = beat_schedule()
    assert {tick.name for tick in TICKS} == TICK_TASKS == set(ticks.WORK)
    for tick in TICKS:
        entry = schedule[tick.name.value]
        assert entry["options"] == {"queue": SUPERVISOR, "expires": tick.period_s}
        assert tick.why


@pytest.mark.usefixtures("world")
def test_a_tick_that_fails_says_so_and_may_run_again(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = Scope(container.settings)
    tick = Tick(TaskName.TICK_STALL, 0.0, "a test")
    asked = []

    def fail(_: Container) -> int:
        asked.append(1)
        raise Unavailable

    monkeypatch.setitem(ticks.WORK, TaskName.TICK_STALL, fail)
    for _ in range(2):
        with pytest.raises(Unavailable):
            ticks.run_tick(scope, tick)
    assert len(asked) == 2
    scope.close()


def test_the_canary_is_asked_of_every_host_seen_and_claimed_once(
    servers: EmbeddedServers, container: Container, world: World
) -> None:
    world.host_seen()
    ticks.WORK[TaskName.TICK_CANARY](container)
    container.gateway.drain(5)
    assert [message["task"] for message in queued(servers, f"host.{world.host}")] == ["host.canary"]
    took_s = container.hosts.claim_canary(world.host)
    assert took_s is not None
    assert took_s >= 0
    assert container.hosts.claim_canary(world.host) is None


def test_sessions_of_a_host_that_is_gone_are_let_go(container: Container, world: World) -> None:
    world.thread("reader")
    attach_session(container.deps, world.workspace, "reader", "ses-r", host=world.host, pid=1, runtime="pty")
    world.host_seen()
    reconcile = ticks.WORK[TaskName.TICK_RECONCILE]
    reconcile(container)
    session = world.session("ses-r")
    assert session
    assert session["attached"]

    with container.db.plain() as connection:
        connection.exec_driver_sql("UPDATE hosts SET seen_at = seen_at - interval '1 minute'")
    reconcile(container)
    session = world.session("ses-r")
    assert session
    assert not session["attached"]


def test_what_a_silent_hand_still_holds_keeps_no_other_session_of_a_gone_host_waiting(
    container: Container, world: World
) -> None:
    for name in ("a-held", "b-free"):
        world.thread(name)
        attach_session(
            container.deps, world.workspace, name, f"ses-{name}", host=world.host, pid=1, runtime="pty"
        )
    world.host_seen()
    with container.db.plain() as connection:
        connection.exec_driver_sql("UPDATE hosts SET seen_at = seen_at - interval '1 minute'")
    reconcile = ticks.WORK[TaskName.TICK_RECONCILE]
    with container.db.unit(world.workspace) as silent:
        assert lock_session(silent, "ses-a-held") is not None
        # Its row comes first, by its name.
        with pytest.raises(Conflict):
            reconcile(container)
        assert _attached(world, "ses-a-held")
        assert not _attached(world, "ses-b-free")
    reconcile(container)
    assert not _attached(world, "ses-a-held")


def test_a_hand_that_falls_silent_holds_its_rows_no_longer_than_its_hosts_term(container: Container) -> None:
    for db in (container.db, container.keeper_db):
        with db.plain() as connection:
            asked = (
                "SELECT extract(epoch FROM current_setting('idle_in_transaction_session_timeout')::interval)"
            )
            silent_s = float(connection.exec_driver_sql(asked).scalar_one())
        assert 0 < silent_s <= HOST_TERM_S / 2


def _attached(world: World, session_id: str) -> bool:
    session = world.session(session_id)
    assert session
    return bool(session["attached"])


def test_the_figures_tell_what_is_due_and_when_ticks_ran(container: Container, world: World) -> None:
    wake = world.post(world.thread("reader")).wakes[0].wake_id
    world.due(wake, -30)
    assert container.ticks.take(TaskName.TICK_STALL, 5.0, "a")
    container.ticks.give_back(TaskName.TICK_STALL, "a")
    note_figures(container)
    told = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
    }
    assert told["wakebridge_oldest_due_age_seconds",] >= 30
    assert told["wakebridge_wakes_open", "pending"] >= 1
    assert 0 <= told["wakebridge_tick_age_seconds", "tick.stall"] < 5


def test_a_hosts_term_is_one_machines_until_it_is_over(container: Container, world: World) -> None:
    assert container.hosts.see(world.host, "here/first")
    assert container.hosts.see(world.host, "here/second")
    assert not container.hosts.see(world.host, "there/third")
    with container.db.plain() as connection:
        connection.exec_driver_sql("UPDATE hosts SET seen_at = seen_at - interval '1 minute'")
    assert container.hosts.see(world.host, "there/third")


def test_what_has_moved_is_anchored_once_in_every_workspace_that_is_served(
    container: Container, world: World
) -> None:
    thread = world.thread("reader")
    world.post(thread)
    anchors = ticks.WORK[TaskName.TICK_ANCHORS]
    assert anchors(container) > 0
    assert anchors(container) == 0, "nothing has moved"
    world.post(thread)
    assert anchors(container) == 1, "the thread's messages"
