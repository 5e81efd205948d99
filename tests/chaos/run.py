"""The chaos run: load, a kill -9 of each process in turn, then the account of every message and every wake."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.fleet import Api, FleetAgent, Ledger
from tests.chaos.stack import Stack, running_stack, wait_until

POLICY: dict[str, Any] = {
    "live": {"tries": 3, "accept_timeout_s": 3, "read_timeout_s": 20},
    "resume": {"tries": 0, "accept_timeout_s": 3, "read_timeout_s": 8},
    "spawn": {"tries": 0, "accept_timeout_s": 3, "read_timeout_s": 8},
    "backoff_s_initial": 1,
    "recheck_s": 1,
    "defer_recheck_s": 1,
    "seat_wait_s": 40,
    "lease_s": 6,
    "wake_life_s_max": 60,
    "wakes_per_minute_max": 10_000,
    "turns_max": 1_000_000,
    "breaker_s_initial": 2,
    "breaker_s_max": 5,
    "listen_grace_s": 1,
}
PROCESSES = ("web", "worker", "host-local", "beat-0", "beat-1", "broker", "postgres")
POSTS_BETWEEN = 40
WAKE_LIFE_S = 60
FINAL = ("acked", "already_active", "cancelled", "failed")


@dataclass
class Account:
    """What the run showed; `broken` lists every promise that did not hold."""

    killed: list[str] = field(default_factory=list)
    back_s: dict[str, float] = field(default_factory=dict)
    posted: int = 0
    wakes: dict[str, int] = field(default_factory=dict)
    typed: int = 0
    typed_twice: int = 0
    all_ended_s: float = 0.0
    broken: list[str] = field(default_factory=list)


class World:
    """Agents, threads and writers around one stack."""

    def __init__(self, stack: Stack, agents: int, threads: int, seed: int) -> None:
        self.stack, self.ledger, self.stop = stack, Ledger(), threading.Event()
        self.operator = Api(stack.url, stack.operator_token)
        names = [f"agent-{n:02d}" for n in range(agents)]
        self.agents = [self._agent(name) for name in names]
        chance = random.Random(seed)
        self.threads: dict[str, list[str]] = {}
        for n in range(threads):
            people = chance.sample(names, 3)
            body = {
                "title": f"chaos {n}",
                "type": "workflow",
                "participants": [{"agent_id": p} for p in people],
            }
            self.threads[self.operator.call("POST", "/v1/threads", json=body)["thread_id"]] = people
        self._tokens: dict[str, Api] = {agent.agent_id: agent.api for agent in self.agents}
        self._writers = [
            threading.Thread(target=self._write, args=(n, random.Random(seed + n)), daemon=True)
            for n in range(3)
        ]

    def _agent(self, name: str) -> FleetAgent:
        asked = {"agent_id": name, "role": "participant", "session_id": f"{name}-s"}
        token = self.operator.call("POST", "/v1/tokens", json=asked)["token"]
        sock = self.stack.run_dir / "host-local.sock"
        return FleetAgent(name, f"{name}-s", token, self.stack.url, sock, self.ledger)

    def start(self) -> None:
        """Everybody dials in, then the writers begin."""
        for agent in self.agents:
            agent.start()
        for agent in self.agents:
            wait_until(f"{agent.agent_id} is attached", agent.attached.is_set, 30)
        for writer in self._writers:
            writer.start()

    def _write(self, writer: int, chance: random.Random) -> None:
        n = 0
        while not self.stop.is_set():
            thread_id = chance.choice(sorted(self.threads))
            sender = chance.choice(self.threads[thread_id])
            body, key = f"w{writer} n{n} {chance.random():.12f}", f"chaos-{writer}-{n}"
            n += 1
            answer = self._tokens[sender].call(
                "POST",
                f"/v1/threads/{thread_id}/messages",
                json={"body": body},
                headers={"Idempotency-Key": key},
            )
            self.ledger.note_posted(thread_id, answer["seq"], body)
            self.stop.wait(0.02)

    def posts(self) -> int:
        """How many posts were acknowledged so far."""
        with self.ledger.lock:
            return sum(len(found) for found in self.ledger.posted.values())

    def quiet(self) -> None:
        """No more posts."""
        self.stop.set()
        for writer in self._writers:
            writer.join(90)

    def close(self) -> None:
        """Everybody hangs up."""
        self.stop.set()
        for agent in self.agents:
            agent.stop()
        self.operator.close()


def chaos(processes: Sequence[str], *, seed: int, say: Callable[[str], None]) -> Account:
    """Kill each of the processes once under load; account for everything. Bounded by the wake life."""
    account = Account()
    with running_stack(POLICY) as stack:
        world = World(stack, agents=8, threads=6, seed=seed)
        try:
            world.start()
            for name in processes:
                _kill(world, name, account, say)
            world.quiet()
            say(f"load over after {world.posts()} acknowledged posts; waiting for every wake to end")
            began = time.monotonic()
            wait_until("every wake ended", lambda: not open_wakes(world.operator), WAKE_LIFE_S + 30, 0.5)
            account.all_ended_s = time.monotonic() - began
            _settle(world, account)
        finally:
            world.close()
    return account


def _kill(world: World, name: str, account: Account, say: Callable[[str], None]) -> None:
    before = world.posts()
    wait_until("posts go through", lambda: world.posts() >= before + POSTS_BETWEEN, 60)
    began = time.monotonic()
    world.stack.kill(name)
    at = world.posts()
    wait_until(f"posts go through again after {name}", lambda: world.posts() > at + 5, 60)
    account.back_s[name] = time.monotonic() - began
    account.killed.append(name)
    say(f"kill -9 {name}: posts go through again {account.back_s[name]:.1f} s later")


def open_wakes(operator: Api) -> int:
    """How many wakes have not ended; -1 when nobody says."""
    count = 0
    for state in ("pending", "delivering", "touching", "waiting"):
        answer = operator.try_once("GET", "/v1/wakes", params={"state": state, "limit": 200})
        if answer is None or answer.is_error:
            return -1
        count += len(answer.json()["items"])
    return count


def _settle(world: World, account: Account) -> None:
    for thread_id in world.threads:
        stored = _all(world.operator, f"/v1/threads/{thread_id}/messages", key="seq")
        _check_thread(world, thread_id, stored, account)
    for state in FINAL:
        account.wakes[state] = len(_all_wakes(world.operator, state))
    account.posted = world.posts()
    account.typed = sum(world.ledger.typed.values())
    account.typed_twice = sum(times - 1 for times in world.ledger.typed.values() if times > 1)
    if account.typed_twice > len(account.killed):
        account.broken.append(f"{account.typed_twice} lines typed twice by {len(account.killed)} faults")
    for wake in _all_wakes(world.operator, "failed"):
        account.broken.append(f"a wake failed although every agent reads: {wake['agent_id']}: {wake['why']}")


def _check_thread(world: World, thread_id: str, stored: list[dict[str, Any]], account: Account) -> None:
    seqs = [message["seq"] for message in stored]
    if seqs != list(range(1, len(seqs) + 1)):
        account.broken.append(f"{thread_id}: seqs are not 1..{len(seqs)}")
    bodies = {message["seq"]: message["body"] for message in stored}
    for seq, body in world.ledger.posted.get(thread_id, []):
        if bodies.get(seq) != body:
            account.broken.append(f"{thread_id}: acknowledged message {seq} is lost or another")
    doubled = [body for body, times in Counter(bodies.values()).items() if times > 1]
    if doubled:
        account.broken.append(f"{thread_id}: {len(doubled)} messages stored twice")


def _all(api: Api, path: str, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = api.call("GET", path, params={"since_seq": found[-1][key] if found else 0, "limit": 200})
        found += page["items"]
        if not page["has_more"]:
            return found


def _all_wakes(api: Api, state: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        params = {"state": state, "limit": 200} | ({"cursor": cursor} if cursor else {})
        page = api.call("GET", "/v1/wakes", params=params)
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found
