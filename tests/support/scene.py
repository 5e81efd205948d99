"""A scene that leaves a row in every tenant table: what isolation, audit and history are checked on."""

from __future__ import annotations

from bridge.commands.anchor_heads import anchor_heads
from bridge.commands.move_cursor import move_cursor
from bridge.commands.pause_scope import pause_scope
from bridge.commands.post_message import Draft, post_message
from bridge.commands.resume_scope import resume_scope
from bridge.commands.retry_wake import retry_wake
from bridge.commands.revoke_token import Revoked, revoke_token
from bridge.commands.set_thread_status import set_thread_status
from bridge.core.states import MessageKind, Role, ThreadStatus
from tests.support.world import Clock, World


def play(world: World, clock: Clock) -> str:
    """Play it in the world's workspace; gives the thread."""
    operator = world.caller("olivia", Role.OPERATOR)
    world.live("bob", f"ses_{world.workspace}")
    thread = world.thread("alice", "bob")
    event = {"type": "finding_reported", "finding_id": "f", "file": "a.py", "line": 1, "text": "t"}
    draft = Draft("a finding", kind=MessageKind.EVENT, event=event, metadata={"a": [1, 2.5, "ü"]})
    wake_id = post_message(world.deps, world.caller("alice"), thread, draft, key="k").wakes[0].wake_id
    world.waiting(wake_id)
    clock.advance(31)
    world.advance(wake_id)
    retry_wake(world.deps, operator, wake_id)
    move_cursor(world.deps, world.caller("bob"), thread, 1)
    world.post(thread, "bob", "chat", metadata={"b": None})
    world.post(thread, "alice", "chat")
    set_thread_status(world.deps, operator, thread, status=ThreadStatus.BLOCKED, reason="wait")
    set_thread_status(world.deps, operator, thread, status=ThreadStatus.ACTIVE, reason="go")
    pause_scope(world.deps, operator, "agent:carol", "away")
    pause_scope(world.deps, operator, "agent:dave", "away")
    resume_scope(world.deps, operator, "agent:dave", "back")
    revoke_token(world.deps, operator, kind=Revoked.JTI, value="j1", reason="lost")
    anchor_heads(world.deps, world.workspace)
    _run(world, wake_id)
    world.owner.run(
        "INSERT INTO policies (workspace_id, scope, version, data, author, reason, created_at) "
        "VALUES (:ws, 'workspace', 1, '{}', 'olivia', 'r', bridge_now()) ON CONFLICT DO NOTHING",
        ws=world.workspace,
    )
    return thread


def _run(world: World, wake_id: str) -> None:
    """A process that was started for the wake, and still runs."""
    now = world.now()
    of: dict[str, object] = {"workspace_id": world.workspace, "agent_id": "bob", "session_id": "ses_run"}
    attempt = of | {"attempt_id": f"{wake_id}.99", "wake_id": wake_id, "rung": "spawn", "fence": 99}
    thread = world.owner.value("SELECT thread_id FROM wakes WHERE wake_id = :id", id=wake_id)
    world.owner.insert("attempts", attempt | {"thread_id": thread, "begun_at": now, "closed_at": now})
    run = of | {
        "run_id": world.deps.ids.new("run_"),
        "attempt_id": f"{wake_id}.99",
        "native_id": "n",
    }
    run |= {
        "rung": "spawn",
        "preset": "script",
        "host": "local",
        "worker": "w",
        "slot": 1,
        "state": "running",
    }
    world.owner.insert("runs", run | {"begun_at": now, "kill_at": now, "updated_at": now})
