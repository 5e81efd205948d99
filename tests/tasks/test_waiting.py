"""What a terminal's human is told of wakes that wait for him, as the worker counts them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.adapters.runtimes.pty_waiting import LAPSE_S, Waiting
from bridge.commands.attach_session import attach_session
from bridge.commands.hold_session import hold_session
from bridge.core.caller import Caller
from bridge.core.errors import NotFound
from bridge.core.states import Role, WaitReason
from bridge.ports.runtime import Handed, Line, Probed, SessionRef, Waits
from bridge.ports.tasks import WAKE_TASKS, TaskName
from tasks.base import Scope
from tasks.deliver_wake import deliver_wake
from tests.tasks.world import World

HERE = SessionRef("ws_1", "bob", "ses_bob")
THERE = SessionRef("ws_1", "dan", "ses_dan")


class Clock:
    """A clock that is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def said(wakes: int, why: str, again_in_s: float) -> dict[str, object]:
    return {"op": "waiting", "wakes": wakes, "why": why, "again_in_s": again_in_s}


def test_each_wake_counts_once_and_the_last_word_is_the_one_that_is_shown() -> None:
    waiting = Waiting(Clock())
    assert waiting.heard(HERE, Waits("w1", "a human typed 1 s ago", 5.0)) == said(
        1, "a human typed 1 s ago", 5.0
    )
    assert waiting.heard(HERE, Waits("w1", "it shows a dialog", 5.04)) == said(1, "it shows a dialog", 5.0)
    assert waiting.heard(HERE, Waits("w2", "it shows a dialog", 3.0)) == said(2, "it shows a dialog", 3.0)
    assert waiting.heard(THERE, Waits("w3", "x", 3.0)) == said(1, "x", 3.0)


def test_what_was_handed_over_is_taken_back_when_nothing_else_waits() -> None:
    waiting = Waiting(Clock())
    assert waiting.heard(HERE, Waits("w1")) is None, "nobody was told of it"
    waiting.heard(HERE, Waits("w1", "x", 5.0))
    waiting.heard(HERE, Waits("w2", "x", 5.0))
    assert waiting.heard(HERE, Waits("w1")) is None
    assert waiting.heard(HERE, Waits("w2")) == said(0, "", 0.0)
    assert waiting.heard(HERE, Waits("w2")) is None


def test_what_nobody_speaks_of_any_more_counts_no_more() -> None:
    clock = Clock()
    waiting = Waiting(clock)
    waiting.heard(HERE, Waits("w1", "x", 5.0))
    clock.now += 5 + LAPSE_S
    assert waiting.heard(HERE, Waits("w2", "y", 5.0)) == said(1, "y", 5.0)
    clock.now += 60
    waiting.heard(THERE, Waits("w3", "z", 1.0))
    assert list(waiting._until) == [THERE]


class Told:
    """A terminal whose human types; it remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Waits] = []

    def probe(self, session: SessionRef, *, quiet_s: float, force: bool = False) -> Probed:
        """Somebody types there, now."""
        del session, quiet_s, force
        return Probed(free=False, reason=WaitReason.HUMAN, why="a human typed 1 s ago")

    def hand_over(self, session: SessionRef, line: Line) -> Handed:
        """Never asked for."""
        raise NotImplementedError

    def tell(self, session: SessionRef, waits: Waits) -> None:
        """Remember."""
        assert session.session_id == "ses-reader"
        self.told.append(waits)


@pytest.fixture(name="scope")
def _scope(world: World) -> Iterator[Scope]:
    scope = Scope(world.settings)
    scope.name("host")
    yield scope
    scope.close()


def test_who_holds_his_session_hears_no_more_of_what_waits(world: World, scope: Scope) -> None:
    container, terminal = scope.container, Told()
    scope.runtime = terminal
    thread = world.thread("reader")
    world.host_seen()
    attach_session(
        container.deps, world.workspace, "reader", "ses-reader", host=world.host, pid=1, runtime="pty"
    )
    wake_id = world.post(thread).wakes[0].wake_id
    world.due(wake_id, -0.1)
    assert deliver_wake(scope, world.workspace, wake_id, TaskName.WAKE_ATTEMPT) == "pending: human"
    assert [(waits.why, waits.again_in_s) for waits in terminal.told] == [("a human typed 1 s ago", 5.0)]
    operator = Caller(world.workspace, "olivia", Role.OPERATOR, "s")
    hold_session(container.deps, operator, "ses-reader", for_s=60, reason=None)
    world.due(wake_id, -0.1)
    assert deliver_wake(scope, world.workspace, wake_id, TaskName.WAKE_RECHECK_DEFERRED) == "pending: held"
    assert terminal.told[-1].again_in_s is None


def test_a_ring_with_another_workspaces_wake_finds_nothing(world: World, scope: Scope) -> None:
    scope.runtime = Told()  # whoever asks it to hand something over fails
    thread = world.thread("reader")
    wake_id = world.post(thread).wakes[0].wake_id
    world.due(wake_id, -0.1)
    before = world.wake(wake_id) | {"now": None}
    for kind in sorted(WAKE_TASKS):
        with pytest.raises(NotFound):
            deliver_wake(scope, "ws_of_others", wake_id, kind)
    assert world.wake(wake_id) | {"now": None} == before
