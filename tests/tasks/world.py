"""What a test of this folder wants of the world: rows that are due, and a scripted wrapper at the host's socket."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import redis
from sqlalchemy import text

from bridge.adapters.celery_options import KEY_PREFIX
from bridge.bootstrap import Container
from bridge.commands.post_message import Draft, Posted, post_message
from bridge.config import Settings
from bridge.core.caller import Caller
from bridge.core.states import Role
from bridge.ports.tokens import Claims
from bridge.stack.servers import EmbeddedServers

T = TypeVar("T")

DEADLINE_S = 30.0


def until(look: Callable[[], T | None], what: str, deadline_s: float = DEADLINE_S) -> T:
    """Look again and again until there is something true to see."""
    deadline = time.monotonic() + deadline_s
    pause = threading.Event()
    while not (found := look()):
        assert time.monotonic() < deadline, f"never came: {what}"
        pause.wait(0.02)
    return found


def flush(servers: EmbeddedServers) -> None:
    """An empty broker that runs, whatever was done to it."""
    try:
        servers.signal("broker", signal.SIGCONT)
        with broker(servers) as wire:
            wire.flushall()
    except (redis.RedisError, ProcessLookupError):
        servers.start_one("broker")
        servers.wait_for("broker")


def broker(servers: EmbeddedServers) -> redis.Redis:
    """A connection to the broker."""
    url = servers.broker_url.replace("redis+socket://", "unix://")
    return redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)


def queued(servers: EmbeddedServers, queue: str) -> list[dict[str, Any]]:
    """The headers of what waits in a queue."""
    with broker(servers) as wire:
        raw = wire.lrange(f"{KEY_PREFIX}{queue}", 0, -1)
    return [json.loads(message)["headers"] for message in raw]


class World:
    """A workspace with a thread of a sender and its listeners, on this test's host."""

    def __init__(self, container: Container, more: str = "") -> None:
        self.container = container
        self.settings: Settings = container.settings
        self.host = self.settings.host_name
        self.workspace = f"ws-{self.host}{more}"
        self._add_workspace()

    def _add_workspace(self) -> None:
        with self.container.db.unit(self.workspace) as uow:
            uow.run(
                text("INSERT INTO workspaces (workspace_id, created_at) VALUES (:w, bridge_now())"),
                {"w": self.workspace},
            )

    def close(self) -> None:
        """Nothing here is due any more."""
        with self.container.db.unit(self.workspace) as uow:
            uow.run(_END)

    def host_seen(self) -> None:
        """The host's worker gave a sign just now."""
        assert self.container.hosts.see(self.host, f"machine/{self.host}")

    def thread(self, *readers: str) -> str:
        """A thread of `sender` and these readers, who all live on this host."""
        thread_id = self.container.ids.new("th")
        with self.container.db.unit(self.workspace) as uow:
            given = {"w": self.workspace, "t": thread_id, "h": self.host, "n": 1 + len(readers)}
            uow.run(_THREAD, given)
            for agent in ("sender", *readers):
                uow.run(_AGENT, given | {"a": agent})
                uow.run(_MEMBER, given | {"a": agent})
        return thread_id

    def post(self, thread_id: str, body: str = "hello", **more: Any) -> Posted:  # noqa: ANN401 - the draft's fields
        """A message of `sender`, which opens a wake for each reader."""
        caller = Caller(self.workspace, "sender", Role.PARTICIPANT, "ses-sender")
        return post_message(self.container.deps, caller, thread_id, Draft(body=body, **more))

    def due(self, wake_id: str, in_s: float, *, rung_s: float | None = None) -> None:
        """Move a wake's time; it was rung until `rung_s` after it, or not at all."""
        with self.container.db.unit(self.workspace) as uow:
            uow.run(_DUE, {"id": wake_id, "in_s": in_s, "rung_s": rung_s})

    def wake(self, wake_id: str) -> dict[str, Any]:
        """The wake's row."""
        with self.container.db.unit(self.workspace) as uow:
            row = uow.run(
                text("SELECT *, bridge_now() AS now FROM wakes WHERE wake_id = :id"), {"id": wake_id}
            )
            return dict(row.mappings().one())

    def rung_for_s(self, wake_id: str) -> float | None:
        """How long past its time the wake is validly rung."""
        row = self.wake(wake_id)
        if row["rung_until"] is None:
            return None
        rung, due = row["rung_until"], row["due_at"]
        assert isinstance(rung, datetime)
        assert isinstance(due, datetime)
        return (rung - due).total_seconds()

    def token(self, agent_id: str, session_id: str, life_s: float = 600) -> str:
        """A token for this session, made as the web process does."""
        now = int(time.time())  # noqa: TID251 - tokens are made by the wall clock
        jti = self.container.ids.new("jti")
        claims = Claims(agent_id, self.workspace, Role.PARTICIPANT, session_id, jti, now, now + life_s)
        return self.container.tokens.sign(claims)

    def session(self, session_id: str) -> dict[str, Any] | None:
        """The session's row."""
        with self.container.db.unit(self.workspace) as uow:
            found = uow.run(text("SELECT * FROM sessions WHERE session_id = :id"), {"id": session_id})
            row = found.mappings().one_or_none()
        return None if row is None else dict(row)


_END = text("""
UPDATE wakes SET state = 'cancelled' WHERE state IN ('pending', 'waiting', 'delivering', 'touching')
""")
_THREAD = text("""
INSERT INTO threads (workspace_id, thread_id, title, type, status, participants, created_by, progress_at,
    created_at, updated_at)
VALUES (:w, :t, 'a thread', 'workflow', 'active', :n, 'sender', bridge_now(), bridge_now(), bridge_now())
""")
_AGENT = text("""
INSERT INTO agents (workspace_id, agent_id, host, created_at, updated_at)
VALUES (:w, :a, :h, bridge_now(), bridge_now()) ON CONFLICT DO NOTHING
""")
_MEMBER = text("""
INSERT INTO participants (thread_id, agent_id, workspace_id, joined_at) VALUES (:t, :a, :w, bridge_now())
""")
_DUE = text("""
UPDATE wakes SET due_at = bridge_now() + make_interval(secs => :in_s),
    rung_until = bridge_now() + make_interval(secs => :in_s) + make_interval(secs => CAST(:rung_s AS float8))
WHERE wake_id = :id
""")


@dataclass
class Wrapper:
    """A scripted wrapper: registers, says what it is told to say, and remembers what it was asked to type."""

    settings: Settings
    token: str
    session_id: str
    screen: str = "empty"
    human_idle_s: float | None = None
    result: str = "accepted"
    typed: list[dict[str, Any]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    greeting: dict[str, Any] = field(default_factory=dict)

    def dial(self, **more: object) -> "Wrapper":
        """Connect and register; the host's answer is the greeting."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(DEADLINE_S)
        try:
            self._socket.connect(str(self.settings.host_socket))
        except OSError:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")
        hello = {
            "op": "register",
            "token": self.token,
            "session_id": self.session_id,
            "pid": os.getpid(),
            "preset": "line",
        }
        raw = b""
        with contextlib.suppress(ConnectionError):  # hung up on before a word was said
            self.say(hello | more)
            raw = self._file.readline()
        self.greeting = json.loads(raw) if raw else {}
        return self

    def serve(self) -> "Wrapper":
        """Answer in a thread until the other end hangs up."""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def say(self, message: dict[str, Any]) -> None:
        """Send one line."""
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def raw(self, line: bytes) -> None:
        """Send what is no line of ours."""
        self._socket.sendall(line)

    def hung_up(self) -> bool:
        """Whether the other end has hung up: waits for its end."""
        try:
            return self._file.readline() == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self._socket.close()

    def _serve(self) -> None:
        try:
            for raw in self._file:
                message = json.loads(raw)
                answer = self._answer(message)
                if answer is not None:
                    self.say(answer | {"op": answer["op"], "id": message["id"]})
        except (OSError, ValueError):
            return

    def _answer(self, message: dict[str, Any]) -> dict[str, Any] | None:
        if message["op"] == "status":
            quiet = {"human_idle_s": self.human_idle_s, "stopped": False, "draining": False}
            return {"op": "status", "screen": self.screen} | quiet
        if message["op"] == "waiting":
            self.told.append(message)
            return None
        self.typed.append(message)
        self.at.append(time.monotonic())
        if self.result == "silence":
            return None
        return {"op": "result", "key": message["key"], "result": self.result, "why": "", "ms": 1, "enters": 1}
