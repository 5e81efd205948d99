"""Nobody is at their terminals: real agents are started, and resumed in the conversation they were in."""

import uuid

import pytest

from bridge.core.states import WakeState
from tests.agents.world import World

PRESETS = ("codex", "claude", "gemini")


@pytest.mark.parametrize("preset", PRESETS)
def test_one_is_spawned_then_resumed_where_it_was(world: World, preset: str) -> None:
    agent = f"{preset}-{uuid.uuid4().hex[:8]}"
    world.bind(agent, preset)
    thread = world.thread(agent)

    world.reads_and_answers("the first answer")
    world.ci.post(thread, "first: remember 42", to=[agent])
    assert world.ended(thread, agent)["state"] == WakeState.ACKED, world.told(thread, agent)
    world.reads_and_answers("the second answer")
    world.ci.post(thread, "second", to=[agent])
    assert world.ended(thread, agent)["state"] == WakeState.ACKED
    print(world.told(thread, agent))
