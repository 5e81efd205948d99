"""Nobody is at their terminals: real agents are started, and resumed in the conversation they were in."""

import itertools
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from bridge.core.states import WakeState
from tests.agents.homes import program
from tests.agents.mock_model import Fail, Say, Shell
from tests.agents.world import WOKEN, World
from tests.stack.running import until

PRESETS = ("codex", "claude", "gemini")
_numbers = itertools.count(1)


def agent_of(world: World, preset: str) -> str:
    """A new agent that the preset starts."""
    name = f"{preset}-{next(_numbers)}"
    world.bind(name, preset)
    return name


def woken(world: World, thread: str, agent: str, words: str) -> dict[str, Any]:
    """Post, and wait for the end of the wake."""
    world.ci.post(thread, words, to=[agent])
    wake = world.ended(thread, agent)
    assert wake["state"] == WakeState.ACKED, world.told(thread, agent)
    return wake


def runs(world: World, agent: str) -> list[dict[str, Any]]:
    """The agent's runs, the oldest first, all of them over."""

    def over() -> list[dict[str, Any]] | None:
        items: list[dict[str, Any]] = world.operator.runs(agent=agent)["items"]
        return items[::-1] if items and all(run["state"] == "ended" for run in items) else None

    return until(over, f"the end of {agent}'s runs")


@pytest.mark.parametrize("preset", PRESETS)
def test_spawned_from_nothing_then_resumed_where_it_was(world: World, preset: str) -> None:
    agent = agent_of(world, preset)
    thread = world.thread(agent)
    world.reads_and_answers("the first answer")
    woken(world, thread, agent, "first: keep the number 4711")
    first = runs(world, agent)
    world.reads_and_answers("the second answer")
    wake = woken(world, thread, agent, "second: which number was it?")

    spawned, resumed = (first[0], runs(world, agent)[-1])
    assert [run["rung"] for run in runs(world, agent)] == ["spawn", "resume"], world.told(thread, agent)
    assert [run["result"] for run in (spawned, resumed)] == ["exited", "exited"]
    assert resumed["native_id"] == spawned["native_id"]
    assert [said["body"] for said in world.messages(thread, agent)] == [
        "the first answer",
        "the second answer",
    ]

    last = world.woken_with()[
        -1
    ]  # what the model was sent in the end: both turns, and all that was done in them
    assert len([text for text in last.said("user") if re.search(WOKEN, text)]) == 2
    assert "I have read it and answered." in last.said("assistant")
    assert any("4711" in text for text in last.said("output"))
    story = bridge(world, "wake", "explain", wake["wake_id"])
    assert re.search(r"resume", story)
    assert re.search(r"acked", story)


def bridge(world: World, *words: str) -> str:
    """What the bridge's own command says."""
    argv = [sys.executable, "-m", "bridge.cli.app", *words, "--data", str(world.folder / "data")]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout


@pytest.mark.parametrize("preset", ["codex", "claude"])
def test_a_conversation_that_is_gone_is_resumed_once_and_then_begun_anew(world: World, preset: str) -> None:
    agent = agent_of(world, preset)
    thread = world.thread(agent)
    world.reads_and_answers("here")
    woken(world, thread, agent, "first")
    before = runs(world, agent)
    forget(world, before[0]["native_id"])
    woken(world, thread, agent, "second")
    resumed, spawned = runs(world, agent)[1:]
    assert (resumed["rung"], resumed["result"]) == ("resume", "crashed")
    assert "it does not know the session any more: " in resumed["why"]
    assert (spawned["rung"], spawned["result"]) == ("spawn", "exited")
    assert spawned["native_id"] != resumed["native_id"]


def forget(world: World, native_id: str) -> None:
    """Take away what the programs know of that conversation."""
    found = [path for path in world.home.folder.rglob(f"*{native_id}*") if "bridge" not in path.parts]
    assert found
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_nothing_is_started_beside_a_conversation_that_is_open_elsewhere(world: World) -> None:
    agent = agent_of(world, "codex")
    thread = world.thread(agent)
    world.reads_and_answers("here")
    woken(world, thread, agent, "first")
    (first,) = runs(world, agent)
    begun, leave = threading.Event(), threading.Event()

    def slowly(_: object) -> Say:
        begun.set()
        return Say(f"it was answered: {leave.wait(60)}")

    world.model.rule("somebody's own question", slowly)
    argv = [program("codex"), "exec", "resume", "--json", "--skip-git-repo-check", first["native_id"], "-"]
    with by_hand(world, argv, "somebody's own question") as somebody:
        assert begun.wait(30)
        world.ci.post(thread, "second", to=[agent])
        refused = until(
            lambda: next(
                (run for run in runs(world, agent) if run is not first and run["rung"] == "resume"), None
            ),
            "a resume",
        )
        assert (refused["result"], refused["rung"]) == ("lost", "resume"), "it is no crash"
        assert "another program has the session open" in refused["why"]
        until(lambda: world.wake(thread, agent)["reason"] == "held", "the hold")
        assert len(runs(world, agent)) == 2
        leave.set()
        somebody.wait(30)
    world.operator.call(
        "PUT", f"/v1/sessions/{first['session_id']}/hold", json={"for_s": 0, "reason": "it is free"}
    )
    assert world.ended(thread, agent)["state"] == WakeState.ACKED, world.told(thread, agent)
    assert [run["rung"] for run in runs(world, agent)] == ["spawn", "resume", "resume"]
    assert any("somebody's own question" in text for text in world.woken_with()[-1].said("user"))


def by_hand(world: World, argv: list[str], prompt: str) -> "subprocess.Popen[str]":
    """A client that somebody started, with this prompt."""
    process = subprocess.Popen(
        argv,
        env=world.home.environment(),
        cwd=world.home.work,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(prompt)
    process.stdin.close()
    return process


@pytest.mark.parametrize("preset", ["codex", "claude"])
def test_a_turn_that_failed_is_told_and_tried_again(world: World, preset: str) -> None:
    agent = agent_of(world, preset)
    thread = world.thread(agent)
    world.model.rule(WOKEN, Fail(400))
    world.ci.post(thread, "hello", to=[agent])
    until(lambda: world.operator.runs(agent=agent)["items"], "its run")
    failed = runs(world, agent)[0]
    assert (failed["result"], failed["rung"]) == ("crashed", "spawn")
    assert "its turn failed: " in failed["why"]
    world.reads_and_answers("at last")
    assert world.ended(thread, agent)["state"] == WakeState.ACKED, world.told(thread, agent)
    assert runs(world, agent)[-1]["rung"] == "resume"


@pytest.mark.parametrize("preset", ["claude", "gemini"])
def test_of_commands_only_the_bridges_own_are_allowed(world: World, preset: str) -> None:
    agent = agent_of(world, preset)
    thread = world.thread(agent)
    trace = world.folder / f"{agent}.trace"
    refused = (
        f"touch {trace}",
        f"bridge run -- touch {trace}",
        f"bridge inbox; touch {trace}",
        "bridge token issue --agent x",
    )
    world.model.rule(WOKEN, *map(Shell, refused), Shell(f"bridge read {thread} --ack"), Say("I was stopped."))
    woken(world, thread, agent, "do evil")
    (run,) = runs(world, agent)
    assert run["result"] == "exited"
    assert re.search(r"it was not allowed: |a tool failed: ", run["why"]), run
    assert not trace.exists()


def test_codex_may_write_where_it_works_and_nowhere_else(world: World) -> None:
    agent = agent_of(world, "codex")
    thread = world.thread(agent)
    outside = Path.home() / f"wb-{agent}-{world.folder.name}"
    world.model.rule(
        WOKEN,
        Shell(f"touch {outside}"),
        Shell("touch inside"),
        Shell(f"bridge read {thread} --ack"),
        Say("done"),
    )
    woken(world, thread, agent, "write")
    runs(world, agent)
    assert not outside.exists()
    assert (world.home.folder / "inside").exists()
