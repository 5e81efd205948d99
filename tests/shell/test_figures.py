"""What is counted of wakes and threads: once, when it has been committed; as the scrape shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from bridge.adapters.figures import Scraped
from bridge.commands.find_stalls import find_stalls
from bridge.commands.move_cursor import move_cursor
from bridge.core.states import MessageKind
from bridge.ports.figures import Figure, Noted
from tests.support.world import TEST_POLICY, Clock, FixedPolicies, World


class Remembered:
    """Counts as the scrape does, and remembers."""

    def __init__(self) -> None:
        self.noted: list[Noted] = []
        self._scraped = Scraped()

    def note(self, noted: Sequence[Noted]) -> None:
        self.noted += noted
        self._scraped.note(noted)


@pytest.fixture
def seen(world: World) -> Remembered:
    found = Remembered()
    world.deps = replace(world.deps, figures=found)
    return found


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"wakebridge_{name}", labels) or 0.0


def test_an_ack_is_counted_with_its_rung_and_how_long_it_took(
    world: World, clock: Clock, seen: Remembered
) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob")
    world.waiting(world.pending(thread))
    before = sample("wake_ack_seconds_sum", rung="live"), sample("wake_ack_seconds_count", rung="live")
    clock.advance(4)
    move_cursor(world.deps, world.caller("bob"), thread, 1)
    assert seen.noted == [Noted(Figure.WAKE_ACKED, "live", 4.0)]
    after = sample("wake_ack_seconds_sum", rung="live"), sample("wake_ack_seconds_count", rung="live")
    assert after == (before[0] + 4, before[1] + 1)


def test_a_wake_that_fails_is_one_failure_of_delivery(world: World, clock: Clock, seen: Remembered) -> None:
    world.live("bob")
    wake_id = world.pending(world.thread("alice", "bob"))
    world.waiting(wake_id)
    before = sample("delivery_failures_total")
    clock.advance(TEST_POLICY.live.read_timeout_s)
    for _ in range(2):
        world.advance(wake_id)
    assert seen.noted == [Noted(Figure.DELIVERY_FAILED)]
    assert sample("delivery_failures_total") == before + 1


def test_circles_and_standstills_are_counted_by_their_kind(
    world: World, clock: Clock, policies: FixedPolicies, seen: Remembered
) -> None:
    policies.policy = replace(TEST_POLICY, turns_max=2, findings_max=2, stall_after_s=100.0)
    before = {kind: sample("loop_detections_total", kind=kind) for kind in ("turns", "finding", "stall")}
    escalated = sample("escalations_total")
    turning = world.thread("alice", "bob")
    for sender in ("alice", "bob", "alice"):
        world.post(turning, sender)
    report = {"type": "finding_reported", "finding_id": "f", "file": "a.py", "line": 1, "text": "t"}
    repeated = world.thread("alice", "bob")
    for _ in range(2):
        world.post(repeated, kind=MessageKind.EVENT, event=report)
    standing = world.thread("alice", "bob")
    world.post(standing, kind=MessageKind.EVENT, event=report)
    clock.advance(101)
    assert find_stalls(world.deps, world.workspace) >= 1
    assert find_stalls(world.deps, world.workspace) == 0
    loops = [one.label for one in seen.noted if one.figure is Figure.LOOP_DETECTED]
    assert loops[:2] == ["turns", "finding"]
    assert set(loops[2:]) == {"stall"}
    for kind, was in before.items():
        assert sample("loop_detections_total", kind=kind) == was + loops.count(kind)
    assert sample("escalations_total") == escalated + loops.count("stall")


def test_what_was_rolled_back_is_not_counted(world: World, seen: Remembered) -> None:
    def fail() -> None:
        with world.deps.unit(world.workspace) as uow:
            uow.noted.append(Noted(Figure.DELIVERY_FAILED))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen.noted == []
