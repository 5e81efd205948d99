"""The doorbell: nobody waits for it, and the rows know how each ring went."""

import signal
import time
from collections.abc import Iterator

import pytest

from bridge.adapters.celery_gateway import CeleryGateway, Publisher
from bridge.adapters.celery_options import BrokerRefused, check_broker
from bridge.bootstrap import Container
from bridge.core.states import WaitReason, WakeState
from bridge.ports.gateway import Ring
from bridge.ports.tasks import TaskName, host_queue, ring_name
from bridge.stack.servers import EmbeddedServers
from tests.tasks.world import World, broker, queued, until

RING_S_MAX = 0.05


@pytest.fixture(name="frozen")
def _frozen(servers: EmbeddedServers, world: World) -> Iterator[None]:
    del world  # it is made first, on a broker that runs
    servers.signal("broker", signal.SIGSTOP)
    yield
    servers.signal("broker", signal.SIGCONT)


@pytest.fixture(name="dead")
def _dead(servers: EmbeddedServers, world: World) -> Iterator[None]:
    del world
    servers.signal("broker", signal.SIGKILL)
    yield
    servers.start_one("broker")
    servers.wait_for("broker")


def ring_many(container: Container, world: World) -> float:
    """Ring three hundred times; the longest that one call took."""
    rings = [Ring(TaskName.WAKE_ATTEMPT, host_queue(world.host), world.workspace, "wake_none")]
    longest = 0.0
    for _ in range(300):
        before = time.monotonic()
        container.gateway.ring(rings)
        longest = max(longest, time.monotonic() - before)
    return longest


def test_a_post_rings_its_host_by_the_name_that_tells_why(servers: EmbeddedServers, world: World) -> None:
    posted = world.post(world.thread("reader"))

    assert world.container.gateway.drain(5)
    messages = queued(servers, host_queue(world.host))
    assert [message["task"] for message in messages] == ["wake.attempt"]
    assert posted.wakes[0].wake_id in messages[0]["argsrepr"]
    assert "hello" not in str(messages)


def test_a_confirmed_ring_is_valid_for_five_seconds(world: World) -> None:
    posted = world.post(world.thread("reader"))

    assert world.container.gateway.drain(5)
    rung_for_s = world.rung_for_s(posted.wakes[0].wake_id)
    assert rung_for_s is not None
    assert 5 <= rung_for_s < 6


@pytest.mark.usefixtures("frozen")
def test_with_the_broker_frozen_nobody_waits_and_the_row_is_free_for_others(world: World) -> None:
    posted = world.post(world.thread("reader"))

    assert ring_many(world.container, world) < RING_S_MAX
    assert world.container.gateway.drain(10)
    assert world.rung_for_s(posted.wakes[0].wake_id) is None


@pytest.mark.usefixtures("dead")
def test_with_the_broker_dead_nobody_waits_and_the_row_is_free_for_others(world: World) -> None:
    posted = world.post(world.thread("reader"))

    assert ring_many(world.container, world) < RING_S_MAX
    assert world.container.gateway.drain(10)
    assert world.rung_for_s(posted.wakes[0].wake_id) is None


def test_the_doorbell_rings_again_when_the_broker_is_back(servers: EmbeddedServers, world: World) -> None:
    thread = world.thread("reader")
    servers.signal("broker", signal.SIGKILL)
    world.post(thread)
    assert world.container.gateway.drain(10)
    servers.start_one("broker")
    servers.wait_for("broker")

    def rung() -> bool:
        ring = Ring(TaskName.WAKE_ATTEMPT, host_queue(world.host), world.workspace, "wake_again")
        world.container.gateway.ring([ring])
        world.container.gateway.drain(5)
        return bool(queued(servers, host_queue(world.host)))

    until(rung, "a ring after the broker came back")


def test_a_queue_that_is_not_in_the_hosts_table_is_refused(servers: EmbeddedServers, world: World) -> None:
    world.container.gateway.ring([Ring(TaskName.WAKE_ATTEMPT, "host.typo", world.workspace, "wake_x")])

    assert world.container.gateway.drain(5)
    with broker(servers) as wire:
        assert wire.keys("*typo*") == []


def test_a_host_that_came_later_is_rung(servers: EmbeddedServers, world: World) -> None:
    assert world.container.hosts.see("later", "machine/later")
    world.container.gateway.ring([Ring(TaskName.HOST_CANARY, "host.later", "", "later")])

    assert world.container.gateway.drain(5)
    assert len(queued(servers, "host.later")) == 1


def test_overflow_is_dropped_and_the_rest_goes_out(servers: EmbeddedServers, world: World) -> None:
    container = world.container
    gateway = CeleryGateway(
        Publisher(container.settings, container.keeping.host_names), container.keeping, queued_max=5
    )
    ring = Ring(TaskName.HOST_CANARY, host_queue(world.host), "", world.host)

    gateway.ring([ring] * 50)

    assert gateway.drain(5)
    assert len(queued(servers, host_queue(world.host))) == 5
    gateway.close()


def test_a_broker_that_may_throw_messages_away_is_refused(servers: EmbeddedServers, world: World) -> None:
    assert check_broker(world.settings)
    with broker(servers) as wire:
        wire.config_set("maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(BrokerRefused, match="noeviction"):
                check_broker(world.settings)
        finally:
            wire.config_set("maxmemory-policy", "noeviction")


@pytest.mark.parametrize(
    ("state", "reason", "accepted", "name"),
    [
        (WakeState.PENDING, WaitReason.FIRST, False, "wake.attempt"),
        (WakeState.PENDING, WaitReason.LISTENING, False, "wake.attempt"),
        (WakeState.PENDING, WaitReason.BACKOFF, False, "wake.retry"),
        (WakeState.PENDING, WaitReason.FALLBACK, False, "wake.fall_back"),
        (WakeState.PENDING, WaitReason.HUMAN, False, "wake.recheck_deferred"),
        (WakeState.PENDING, WaitReason.HOST, False, "wake.recheck_deferred"),
        (WakeState.WAITING, WaitReason.FIRST, False, "wake.check_accept"),
        (WakeState.WAITING, WaitReason.FIRST, True, "wake.check_read"),
        (WakeState.DELIVERING, WaitReason.FIRST, False, "wake.reclaim"),
        (WakeState.TOUCHING, WaitReason.FIRST, False, "wake.reclaim"),
    ],
)
def test_a_rings_name_tells_the_story(
    state: WakeState, reason: WaitReason, accepted: bool, name: str
) -> None:
    assert ring_name(state, reason, accepted=accepted) == name
