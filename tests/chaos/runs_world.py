"""Dormant agents that only a run can wake, one that writes to them, and the outside's view of their processes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.stack.probes import unix_listens
from tests.chaos.fleet import Api, FleetAgent, Ledger
from tests.chaos.stack import READY_S, Stack, StackFailed, wait_until
from tests.chaos.watcher import AGENT, SHIM, Life, Seen, living
from tests.support.postgres import Owner

HERE = Path(__file__).resolve().parent
PROGRAM = HERE / "programs" / "agent.py"
WATCHER = HERE / "watcher.py"

# Tries enough that a wake outlives several kills; deadlines that outlast a slow restart on a loaded machine.
POLICY: dict[str, Any] = {
    "live": {"tries": 3, "accept_timeout_s": 3, "read_timeout_s": 20},
    "resume": {"tries": 8, "accept_timeout_s": 10, "read_timeout_s": 30},
    "spawn": {"tries": 4, "accept_timeout_s": 10, "read_timeout_s": 30},
    "backoff_s_initial": 1,
    "backoff_s_max": 2,
    "recheck_s": 1,
    "seat_wait_s": 40,
    "lease_s": 6,
    "wake_life_s_max": 240,
    "kill_after_s": 30,
    "kill_grace_s": 2,
    "crash_loop_limit": 1000,
    "wakes_per_minute_max": 10_000,
    "turns_max": 1_000_000,
    "breaker_s_initial": 2,
    "breaker_s_max": 5,
    "listen_grace_s": 1,
}
PRESET = "scripted"
SCRIBE = "scribe"
THREADS_EACH = 2
WORKER = "host-local"
PACE_S = 0.003
MEET_S = 25.0


class RunsWorld:
    """The stack, its dormant agents, and what is seen of their processes in /proc."""

    def __init__(self, stack: Stack, folder: Path, agents: int, seed: int) -> None:
        self.stack, self.folder, self.chance = stack, str(folder), random.Random(seed)
        self.runs_dir = str(stack.run_dir / "runs")
        self.operator = Api(stack.url, stack.operator_token)
        self.owner = Owner(stack.facts["database_url"])
        self.ledger = Ledger()
        self.posted = 0
        self._dead: set[int] = set()
        self._preset()
        self.agents = [f"sleeper-{n}" for n in range(agents)]
        for name in self.agents:
            self.operator.call("PUT", f"/v1/agents/{name}", json={"preset": PRESET})
        asked = {"agent_id": SCRIBE, "role": "participant", "session_id": "scribe-s"}
        token = self.operator.call("POST", "/v1/tokens", json=asked)["token"]
        sock = stack.run_dir / "host-local.sock"
        self.scribe = FleetAgent(SCRIBE, "scribe-s", token, stack.url, sock, self.ledger)
        self.threads = {name: [self._thread(name, n) for n in range(THREADS_EACH)] for name in self.agents}

    def _preset(self) -> None:
        folder = self.stack.data / "presets"
        folder.mkdir(mode=0o700, exist_ok=True)
        argv = ["{python}", "-I", "-S", str(PROGRAM), "agent", self.folder]
        given = json.dumps([*argv, "{session_id}", "{run_id}", "{native_id}"])
        (folder / f"{PRESET}.toml").write_text(
            f'name = "{PRESET}"\n[command]\nresume = {given}\nspawn = {given}\n'
            'environment = ["PATH"]\nnative = "chosen"\n'
            '[command.identity]\nmatch = "json"\nevent = {type = "session"}\nfield = "session_id"\n'
        )

    def _thread(self, agent: str, n: int) -> str:
        people = [{"agent_id": SCRIBE}, {"agent_id": agent}]
        body = {"title": f"{agent} {n}", "type": "workflow", "participants": people}
        return str(self.operator.call("POST", "/v1/threads", json=body)["thread_id"])

    def start(self) -> None:
        """Everybody was woken once, by a spawn: from now on each has a session that can be resumed."""
        self.scribe.start()
        wait_until("the scribe is attached", self.scribe.attached.is_set, 30)
        wait_until("the host knows the preset", self._known, 30)
        for name in self.agents:
            self.post(name)
        wait_until("everybody slept again", self.asleep, POLICY["wake_life_s_max"], 0.2)

    def _known(self) -> bool:
        return any(PRESET in host["presets"] for host in self.operator.call("GET", "/v1/hosts")["items"])

    def asleep(self) -> bool:
        """No wake is open, and no run."""
        sql = (
            "SELECT (SELECT count(*) FROM runs WHERE state <> 'ended') + (SELECT count(*) FROM wakes "
            "WHERE state NOT IN ('acked', 'already_active', 'cancelled', 'failed')) AS open"
        )
        return bool(self.owner.value(sql) == 0)

    def post(self, agent: str) -> None:
        """A message to a dormant agent, acknowledged."""
        self.posted += 1
        thread_id, body = self.chance.choice(self.threads[agent]), f"message {self.posted}"
        answer = self.scribe.api.call(
            "POST",
            f"/v1/threads/{thread_id}/messages",
            json={"body": body},
            headers={"Idempotency-Key": f"chaos-runs-{self.posted}"},
        )
        self.ledger.note_posted(thread_id, answer["seq"], body)

    def living(self) -> list[Seen]:
        """Every process of a run that lives."""
        return living(self.folder, self.runs_dir)

    def newest(self, kind: str, besides: set[str] = frozenset()) -> Seen | None:  # type: ignore[assignment]
        """The youngest process of that kind, of none of the runs `besides`."""
        found = [one for one in self.living() if one.kind == kind and one.run not in besides]
        return max(found, key=lambda one: one.started, default=None)

    # --- the host's worker ----------------------------------------------------------------------------------

    def worker(self) -> int:
        """The pid of the host's worker, once it is there."""
        return int(wait_until("the worker is started", self._worker, READY_S))

    def _worker(self) -> int | None:
        with contextlib.suppress(KeyError, ValueError, OSError):
            pid = self.stack.pid(WORKER)
            return None if pid in self._dead else pid
        return None

    def worker_ready(self) -> None:
        """Wait until the host's worker is there and listens."""
        self.worker()
        wait_until(
            "the worker listens", lambda: unix_listens(self.stack.run_dir / "host-local.sock"), READY_S
        )

    def kill_worker(self) -> None:
        """Kill -9."""
        pid = self.worker()
        self._dead.add(pid)
        os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Everybody hangs up; what escaped for good is ended."""
        self.scribe.stop()
        self.operator.close()
        self.owner.close()


# --- the moments at which it strikes --------------------------------------------------------------------------


def meet(world: RunsWorld, moment: str, since: object, before: set[str]) -> bool:
    """Wait until the moment has come in a run that is new since then, and some chance more; False: it never came."""
    come, more_s = {
        "any": (lambda: True, 4.0),
        "touched": (lambda: world.owner.rows(_TOUCHED, since=since), 0.1),
        "started": (lambda: world.newest(SHIM, before), 0.15),
        "working": (lambda: world.newest(AGENT, before), 1.0),
        "read": (lambda: world.owner.rows(_READ, since=since), 0.1),
    }[moment]
    try:
        wait_until(f"a run is {moment}", come, MEET_S, PACE_S)
    except StackFailed:
        return False
    time.sleep(world.chance.uniform(0.0, more_s))
    return True


_TOUCHED = "SELECT 1 FROM runs WHERE state = 'starting' AND pid IS NULL AND begun_at > :since"
_READ = (
    "SELECT 1 FROM runs r JOIN attempt_wakes y USING (attempt_id) WHERE r.state <> 'ended' AND r.begun_at > :since "
    "AND y.result IN ('acked', 'already_active')"
)


# --- the watcher ------------------------------------------------------------------------------------------------


class Watch:
    """What the watcher saw, once it has ended."""

    def __init__(self) -> None:
        self.lives: list[Life] = []
        self.facts: dict[str, float] = {}


@contextmanager
def watching(world: RunsWorld) -> Iterator[Callable[[], Watch]]:
    """A process of its own looks at /proc; the call ends it and gives what it saw."""
    argv = [sys.executable, "-I", "-S", str(WATCHER), world.folder, world.runs_dir]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:

        def end() -> Watch:
            said, _ = process.communicate(timeout=30)
            watch, account = Watch(), json.loads(said)
            watch.lives = [Life(**life) for life in account.pop("lives")]
            watch.facts = account
            return watch

        try:
            yield end
        finally:
            process.kill()
