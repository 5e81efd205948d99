"""Where a call is tried: on what is the caller's own, on a stranger's in its workspace, on another workspace's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.world import World

HOME, ELSEWHERE = "default", "ws_2"
OBJECTS = ("thread_id", "wake_id", "run_id", "notice_id", "session_id")
"""What belongs to somebody; agents, scopes and hosts in a path are names, which each workspace has of its own."""
Ids = Mapping[str, str]
NAMES: Ids = {"agent_id": "zoe", "seq": "1", "scope": "workspace", "host": "local"}


@dataclass(frozen=True)
class Places:
    """The ids of each."""

    own: Ids
    foreign: Ids
    elsewhere: Ids


def make_places(world: World, caller: str) -> Places:
    """A thread, wake, run, notice and session of each, in a world whose workspace is HOME."""
    other = World(world.deps, world.owner, world.gateway, workspace=ELSEWHERE)
    return Places(
        own=_place(world, caller, "bob", f"ses_{caller}"),
        foreign=_place(world, "carol", "bob", "ses_carol"),
        elsewhere=_place(other, "erin", "frank", "ses_erin"),
    )


def _place(world: World, woken: str, sender: str, session_id: str) -> Ids:
    """A thread of the two, with a wake for the one because of the other."""
    world.live(woken, session_id)
    thread_id = world.thread(woken, sender)
    wake_id = world.post(thread_id, sender).wakes[0].wake_id
    now, notice_id = world.now(), world.deps.ids.new("note_")
    notice = {"notice_id": notice_id, "workspace_id": world.workspace, "audience": "*operators"}
    world.owner.insert("notices", notice | {"cause": notice_id, "text": "t", "first_at": now, "last_at": now})
    ids = {"thread_id": thread_id, "wake_id": wake_id, "notice_id": notice_id, "session_id": session_id}
    return {**NAMES, **ids, "run_id": _run(world, thread_id, wake_id, woken)}


def _run(world: World, thread_id: str, wake_id: str, agent_id: str) -> str:
    now, run_id = world.now(), world.deps.ids.new("run_")
    of = {"workspace_id": world.workspace, "agent_id": agent_id, "session_id": f"ses_{run_id}"}
    attempt = of | {"attempt_id": f"{wake_id}.99", "wake_id": wake_id, "thread_id": thread_id}
    world.owner.insert(
        "attempts", attempt | {"rung": "spawn", "fence": 99, "begun_at": now, "closed_at": now}
    )
    slots = world.owner.value("SELECT count(*) FROM runs")
    run = of | {"run_id": run_id, "attempt_id": f"{wake_id}.99", "native_id": "n", "rung": "spawn"}
    run |= {"preset": "script", "host": "local", "worker": "w", "slot": slots + 1, "state": "running"}
    world.owner.insert("runs", run | {"begun_at": now, "kill_at": now, "updated_at": now})
    return run_id


def concrete(path: str, ids: Ids) -> str:
    """The path with these ids."""
    return re.sub(r"\{(\w+)\}", lambda found: ids[found[1]], path)


def has_object(path: str) -> bool:
    """Whether the path names something that belongs to somebody."""
    return any(f"{{{name}}}" in path for name in OBJECTS)
