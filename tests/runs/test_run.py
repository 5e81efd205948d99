"""A run from its start to its end, with a real shim and a real agent."""

import hashlib
import json
import os

from bridge.adapters.runtimes.descent import process
from tests.runs.world import World, living

CODEX = {"identity": {"match": "json", "field": "thread_id", "event": {"type": "thread.started"}}}


def test_an_agent_gets_its_prompt_its_environment_and_nothing_else(world: World) -> None:
    world.options = {"environment": {"PATH": "/usr/bin:/bin", "HOME": "/root", "DATABASE_URL": "secret"}}
    more = {"environment": ["PATH", "NOT_THERE"], "set": {"MODE": "quiet"}, "cwd": "/tmp"}
    prompt = "five new in three threads\n" * 2500
    spec = world.start("reads", preset=CODEX | more, prompt=prompt)
    assert world.ended(spec) == (0, "exited", "it ended by itself")
    said = json.loads(world.output(spec).splitlines()[1])
    assert said["prompt"] == hashlib.sha256(prompt.encode()).hexdigest()
    run = world.settings.run_dir / "runs" / spec.run_id
    assert said["environment"] == {
        "PATH": "/usr/bin:/bin",
        "MODE": "quiet",
        "BRIDGE_URL": "http://127.0.0.1:4321",
        "BRIDGE_TOKEN_FILE": str(run / "token"),
        "BRIDGE_RUN_ID": spec.run_id,
        "BRIDGE_HOST_NAME": "here",
        "BRIDGE_SESSION_ID": spec.session_id,
        "BRIDGE_AGENT_ID": "executor",
        "BRIDGE_WORKSPACE_ID": spec.workspace_id,
    }
    assert said["cwd"] == "/tmp"
    assert said["leader"]
    assert said["open"] == [0, 1, 2, 3], "3 is the look itself"
    assert not any(spec.token in argument for argument in said["argv"])


def test_what_happens_is_told_in_order_with_what_names_the_process(world: World) -> None:
    spec = world.start("says_and_waits", "here")
    world.told(spec, "proved")
    started = world.told(spec, "started")
    found = process(started["pid"])
    assert found is not None
    assert (found.ppid, found.started) == (started["shim_pid"], started["pid_started"])
    assert world.book.held() == {spec.run_id}
    world.book.end(spec.run_id, "the wake was cancelled", 0.5)
    assert world.ended(spec) == (-15, "killed", "the wake was cancelled")
    assert world.recorder.of(spec.run_id) == ["started", "proved", "ended"]
    assert os.getpid() not in living(spec.run_id)
