"""Two hosts on machines of their own, a bridge that both reach by cable, and agents on both under steady load.

Rules of this file:

- Everything is started as its user would: `bridge up`, `bridge host`, `bridge run`.
- An agent's driver posts, waits until the message was read (the agent's own ledger says so), and posts again.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.config import inherited_environment
from tests.chaos.fleet import Api
from tests.chaos.lives import Lives, boot_clock
from tests.chaos.network import Lan, lan
from tests.chaos.servers import servers
from tests.chaos.stack import Stack, running_stack, wait_until

POLICY: dict[str, Any] = {
    "hosts": ["b"],
    "live": {"tries": 3, "accept_timeout_s": 8, "read_timeout_s": 30},
    "resume": {"tries": 3, "accept_timeout_s": 20, "read_timeout_s": 40},
    "spawn": {"tries": 4, "accept_timeout_s": 20, "read_timeout_s": 40},
    "backoff_s_initial": 1,
    "backoff_s_max": 4,
    "recheck_s": 1,
    "defer_recheck_s": 1,
    "defer_quiet_s": 1,
    "wake_life_s_max": 900,
    "wakes_per_minute_max": 10_000,
    "turns_max": 1_000_000,
    "breaker_s_initial": 2,
    "breaker_s_max": 5,
    "listen_grace_s": 0,
    "seat_wait_s": 300,
}
PROGRAM = Path(__file__).resolve().parent / "programs" / "reader.py"
HELD = "held"
"""A file in the world's folder: as long as it is there, what is stuck stays so."""
ON: dict[str, dict[str, tuple[str, str]]] = {
    "a": {"mobile": ("1.0", "2.0"), "settled": ("1.0", "2.0"), "stuck": (HELD, "0.0")},
    "b": {"mobile": ("1.0", "2.0"), "stuck": ("0.0", "0.0"), "quick": ("0.0", "0.0")},
}
"""The presets of each host: how long what they start thinks before it reads, and works after it. What is `stuck` on a
reads nothing there: it lives until it is ended, and its message is for whoever comes after it."""
STARTED_S = 90.0
STOP_S = 20.0


@dataclass(frozen=True)
class Sample:
    """A message, from its acknowledged post until it was read."""

    agent: str
    posted_at: float
    read_at: float


@dataclass
class Ledger:
    """What the agents wrote, and how far each has read; by the clock that all share."""

    file: Path
    lines: list[dict[str, Any]] = field(default_factory=list)
    read: dict[str, dict[int, float]] = field(default_factory=dict)
    _at: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> None:
        """Take in what was written since."""
        with self._lock:
            if not self.file.exists():
                return
            with self.file.open("rb") as file:
                file.seek(self._at)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._at += len(line)
                    self._take(json.loads(line))

    def _take(self, line: dict[str, Any]) -> None:
        self.lines.append(line)
        if line["event"] == "read":
            self.read.setdefault(line["thread"], {}).setdefault(line["upto"], line["at"])

    def read_at(self, thread_id: str, seq: int) -> float | None:
        """When this message was first read."""
        with self._lock:
            times = [at for upto, at in self.read.get(thread_id, {}).items() if upto >= seq]
        return min(times, default=None)


class Driver:
    """Posts to one agent, waits until it has read, and posts again."""

    def __init__(self, world: World, name: str, pause_s: tuple[float, float], seed: int) -> None:
        self.name, self._world, self._pause_s = name, world, pause_s
        self._chance = random.Random(f"{seed} {name}")
        body = {
            "title": name,
            "type": "workflow",
            "participants": [{"agent_id": "sender"}, {"agent_id": name}],
        }
        self.thread_id = str(world.operator.call("POST", "/v1/threads", json=body)["thread_id"])
        self.samples: list[Sample] = []
        self.posted = 0
        self._thread = threading.Thread(target=self._go, name=name, daemon=True)

    def start(self) -> None:
        """Go on until the world is quiet."""
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Whether its last message was read in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _go(self) -> None:
        world = self._world
        while not world.quiet.wait(self._chance.uniform(*self._pause_s)):
            posted = self.post()
            while not self.was_read(*posted):
                if world.over.wait(0.01):
                    return

    def post(self) -> tuple[int, float]:
        """One message: its number, and when it was acknowledged."""
        path, body = f"/v1/threads/{self.thread_id}/messages", {"body": f"to {self.name}", "to": [self.name]}
        seq = int(self._world.sender.call("POST", path, json=body)["seq"])
        self.posted += 1
        return seq, boot_clock()

    def was_read(self, seq: int, posted_at: float) -> bool:
        """Whether that message was read; then it is a sample."""
        self._world.ledger.look()
        read_at = self._world.ledger.read_at(self.thread_id, seq)
        if read_at is not None:
            self.samples.append(Sample(self.name, posted_at, max(read_at, posted_at)))
        return read_at is not None


class World:
    """The stack, its two hosts, their agents."""

    def __init__(self, folder: Path, network: Lan, servers: dict[str, str], stack: Stack, seed: int) -> None:
        self.folder, self.network, self.stack, self.seed = folder, network, stack, seed
        self._servers = servers
        self.quiet, self.over = threading.Event(), threading.Event()
        self.operator = Api(stack.url, stack.operator_token)
        self.sender = Api(stack.url, self.token("sender", "participant"))
        self.held = folder / HELD
        self.ledger = Ledger(folder / "ledger.jsonl")
        self.lives = Lives(folder)
        self.drivers: dict[str, Driver] = {}
        self.stuck: dict[str, Driver] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def token(self, agent_id: str, role: str, session_id: str | None = None) -> str:
        """A token by the operator."""
        asked = {"agent_id": agent_id, "role": role} | ({"session_id": session_id} if session_id else {})
        return str(self.operator.call("POST", "/v1/tokens", json=asked)["token"])

    def token_file(self, agent_id: str, role: str, session_id: str | None = None) -> Path:
        """The same, in a file that is ours alone."""
        file = self.folder / f"{agent_id.replace(':', '-')}.token"
        file.touch(mode=0o600)
        file.write_text(self.token(agent_id, role, session_id) + "\n")
        return file

    def host_command(self, name: str, data: Path, token: Path) -> list[str]:
        """`bridge host NAME` with its own data."""
        word = ["--data", str(data), "--url", self.stack.url, "--token-file", str(token)]
        return [sys.executable, "-m", "bridge.cli.app", "host", name, *word]

    def environment(self) -> dict[str, str]:
        """What a machine that belongs to this bridge knows."""
        plain = {k: v for k, v in inherited_environment().items() if not k.startswith(("BRIDGE_", "PG"))}
        return plain | self._servers | {"BRIDGE_JWKS_FILE": str(self.stack.data / "keys" / "jwks.json")}

    def start_host(self, name: str) -> None:
        """Start it on its own machine, and wait until the bridge sees it."""
        data = self.folder / name
        presets = data / "presets"
        presets.mkdir(mode=0o700, parents=True)
        for preset, (before_s, after_s) in ON[name].items():
            (presets / f"{preset}.toml").write_text(self._preset(preset, before_s, after_s))
            (presets / f"{preset}.toml").chmod(0o600)
        command = self.host_command(name, data, self.token_file(f"host:{name}", "host"))
        self._start(f"host-{name}", [*self.network.on(name), *command])
        wait_until(f"host {name} offers its presets", lambda: self._offers(name), STARTED_S, 0.3)

    def _offers(self, name: str) -> bool:
        return set(ON[name]) <= set(self.host(name)["presets"])

    def _preset(self, name: str, before_s: str, after_s: str) -> str:
        program = ["{python}", "-I", "-S", str(PROGRAM), "started", str(self.ledger.file)]
        before = str(self.held) if before_s == HELD else before_s
        argv = [*program, "{native_id}", before, after_s]
        return (
            f'name = "{name}"\n[command]\nresume = {json.dumps(argv)}\nspawn = {json.dumps(argv)}\n'
            'environment = ["PATH"]\n[command.identity]\nmatch = "json"\n'
            'event = {type = "session"}\nfield = "session_id"\n'
        )

    def _start(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def sit_in_terminal(self, name: str, host: str) -> None:
        """A live agent under `bridge run` on that host's machine."""
        token = self.token_file(name, "participant", f"{name}-s")
        own = ["--data", str(self.folder / host), "--url", self.stack.url, "--token-file", str(token)]
        run = [sys.executable, "-m", "bridge.cli.app", "run", "--agent", name, "--headless", *own]
        program = [sys.executable, "-I", "-S", str(PROGRAM), "typed", str(self.ledger.file)]
        self.operator.call("PUT", f"/v1/agents/{name}", json={"host": host})
        environment = {"BRIDGE_HOST_NAME": host}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*self.network.on(host), *run, "--", *program],
                env=self.environment() | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(f"{name} is attached", lambda: self.agent(name)["seat_attached"], STARTED_S)

    def add(self, name: str, *, host: str, preset: str | None, pause_s: tuple[float, float]) -> None:
        """An agent with its driver."""
        if preset is None:
            self.sit_in_terminal(name, host)
        else:
            self.operator.call("PUT", f"/v1/agents/{name}", json={"host": host, "preset": preset})
        driver = Driver(self, name, pause_s, self.seed)
        (self.stuck if preset == "stuck" else self.drivers)[name] = driver

    def host(self, name: str) -> dict[str, Any]:
        """The host as the API shows it; empty fields while nobody knows it."""
        for host in self.operator.call("GET", "/v1/hosts")["items"]:
            if host["host"] == name:
                return dict(host)
        return {"presets": {}, "seen": False, "term": 0}

    def agent(self, name: str) -> dict[str, Any]:
        """The agent as the API shows it."""
        found = self.operator.call("GET", "/v1/agents", params={"limit": 200})["items"]
        return dict(next(agent for agent in found if agent["agent_id"] == name))

    def wakes(self, **filters: str) -> list[dict[str, Any]]:
        """All such wakes, the newest first."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            params = {"limit": 200, **filters} | ({"cursor": cursor} if cursor else {})
            page = self.operator.call("GET", "/v1/wakes", params=params)
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    def story(self, name: str) -> str:
        """The agent's last two wakes, step by step: for whoever must find out what went wrong."""
        told = [f"{name}: {self.agent(name)}"]
        for wake in self.wakes(agent=name)[:2]:
            story = self.operator.call("GET", f"/v1/wakes/{wake['wake_id']}/explain")
            told += [f"  {story['wake']}", *(f"  {one}" for one in story["attempts"])]
            fields = ("at", "event", "to_state", "reason", "worker", "why")
            told += ["    " + " ".join(str(one[field]) for field in fields) for one in story["steps"]]
        return "\n".join(told)

    def samples(self, since: float, until: float, kind: str) -> list[float]:
        """How long what was posted in that time took to be read."""
        return [
            one.read_at - one.posted_at
            for driver in self.drivers.values()
            if driver.name.startswith(kind)
            for one in driver.samples
            if since <= one.posted_at < until
        ]

    def reads_since(self, name: str, since: float) -> bool:
        """Whether the agent has read something posted after that."""
        return any(sample.posted_at >= since for sample in self.drivers[name].samples)

    def stop_process(self, name: str) -> None:
        """TERM, and KILL after a while."""
        process = self.processes[name]
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)

    def close(self) -> None:
        """Everybody goes."""
        self.quiet.set()
        self.over.set()
        for name in reversed(self.processes):
            self.stop_process(name)
        self.lives.stop()
        self.sender.close()
        self.operator.close()

    def tail(self, lines: int = 25) -> str:
        """The ends of the hosts' logs."""
        found = []
        for name in self.processes:
            log = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
            found += [f"--- {name}", *log[-lines:]]
        return "\n".join(found)


@contextmanager
def two_hosts(seed: int) -> Iterator[World]:
    """A bridge with the hosts a and b, each on a machine of its own."""
    with ExitStack() as closing:
        name = closing.enter_context(tempfile.TemporaryDirectory(prefix="wb-"))
        network = closing.enter_context(lan(("a", "b")))
        urls = closing.enter_context(servers(Path(name) / "s", network.address, network.network))
        environment = urls | {"BRIDGE_BIND": network.address}
        stack = closing.enter_context(running_stack({}, environment=environment))
        world = World(Path(name), network, urls, stack, seed)
        closing.callback(world.close)
        # A seed would be that machine's alone: hosts elsewhere go by what is stored.
        body = {"policy": POLICY, "reason": "two hosts"}
        world.operator.call("PUT", "/v1/policies/default", json=body)
        try:
            world.lives.start()
            for host in ON:
                world.start_host(host)
            yield world
        except BaseException:
            sys.stderr.write(world.tail() + "\n")
            raise
