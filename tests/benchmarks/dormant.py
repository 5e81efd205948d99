"""500 agents asleep, one message to each at once: how fast they are woken through eight slots, at what cost to others.

Rules of this file:

- The stack is a real one with the default policy; the agents are processes that the bridge starts.
- How many live is counted in /proc, from outside; the slots' rows are only compared with it.
- /health is asked by a clock of its own: an answer is late from when it was to be asked, not from when it was.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text

from tests.benchmarks.world import Figures
from tests.chaos.fleet import Api
from tests.chaos.stack import Stack, running_stack, wait_until

AGENTS = 500
A_THREAD = 50
HOST, RUNS = "host-local", "agents and shims"
SLOTS = 8
SECONDS_MAX = 600.0
HEALTH_EVERY_S = 0.05
HEALTH_P95_MS = 500
LOOK_EVERY_S = 0.05
PROGRAM = Path(__file__).resolve().parent / "programs" / "sleeper.py"
PRESET = f"""
name = "sleeper"
[command]
resume = ["{{python}}", "-I", "-S", "{PROGRAM}", "{{native_id}}"]
environment = ["PATH"]
[command.identity]
match = "json"
event = {{type = "session"}}
field = "session_id"
"""

Say = Callable[[str], None]


def measure(say: Say, agents: int = AGENTS) -> dict[str, Any]:
    """From the first post until every message is read, or its wake failed."""
    with running_stack({}) as stack:
        _place_preset(stack)
        operator = Api(stack.url, stack.operator_token)
        wait_until("the host offers the preset", lambda: _offered(operator), 20)
        names = [f"asleep-{n:03d}" for n in range(agents)]
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: _put_to_sleep(operator, name), names))
        say(f"dormant: {agents} agents with a session to resume, made in {time.monotonic() - began:.0f} s")
        engine = create_engine(stack.facts["database_url"], pool_size=4)
        try:
            found = _wake_all(stack, operator, engine, names)
        finally:
            engine.dispose()
            operator.close()
    say(_in_words(found))
    return found


def _in_words(found: dict[str, Any]) -> str:
    health = found["health"]
    return (
        f"dormant: {found['agents']} messages posted in {found['posted_s']} s, all ended {found['all_ended_s']} s "
        f"after the first post: {found['wakes']}; at most {found['processes_max']} processes and "
        f"{found['slots_max']} slots of {SLOTS}; /health p95 {health['p95_ms']:.0f} ms, max {health['max_ms']:.0f} ms"
    )


def _place_preset(stack: Stack) -> None:
    folder = stack.data / "presets"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "sleeper.toml").write_text(PRESET)
    (folder / "sleeper.toml").chmod(0o600)


def _offered(operator: Api) -> bool:
    hosts = operator.call("GET", "/v1/hosts")["items"]
    return any("sleeper" in host["presets"] for host in hosts)


def _put_to_sleep(operator: Api, name: str) -> None:
    """An agent of this preset, with a session that can be resumed, in its seat, and no process."""
    operator.call("PUT", f"/v1/agents/{name}", json={"host": "local", "preset": "sleeper"})
    asked = {"agent_id": name, "role": "participant", "session_id": f"{name}-s"}
    own = {"Authorization": f"Bearer {operator.call('POST', '/v1/tokens', json=asked)['token']}"}
    for status in ("idle", "offline"):
        beat = {"runtime": "command", "resumable": True, "status": status}
        operator.call("PUT", f"/v1/sessions/{name}-s", json=beat, headers=own)


class Sender:
    """Who posts, and reads the answers now and then."""

    def __init__(self, stack: Stack, operator: Api) -> None:
        asked = {"agent_id": "sender", "role": "participant", "session_id": "sender-s"}
        self._operator = operator
        self.api = Api(stack.url, operator.call("POST", "/v1/tokens", json=asked)["token"])

    def thread(self, names: list[str]) -> str:
        """A thread with these."""
        people = [{"agent_id": name} for name in ("sender", *names)]
        body = {"title": "to the sleepers", "type": "workflow", "participants": people}
        return str(self._operator.call("POST", "/v1/threads", json=body)["thread_id"])

    def post(self, thread_id: str) -> list[str]:
        """A message to all in it; the wakes that it opened."""
        path, body = f"/v1/threads/{thread_id}/messages", {"body": "are you there?"}
        return [wake["wake_id"] for wake in self.api.call("POST", path, json=body)["wakes"]]

    def read(self) -> None:
        """Read all there is: its own wakes end by it."""
        for item in self.api.call("GET", "/v1/inbox")["items"]:
            path = f"/v1/threads/{item['thread_id']}/cursor"
            self.api.try_once("PUT", path, json={"last_read_seq": item["last_seq"]})


def _wake_all(stack: Stack, operator: Api, engine: Engine, names: list[str]) -> dict[str, Any]:
    sender = Sender(stack, operator)
    threads = [sender.thread(names[n : n + A_THREAD]) for n in range(0, len(names), A_THREAD)]
    seen = Seen(engine)
    before_s = _cpu_s(stack)
    with _beside(seen.look, LOOK_EVERY_S), _beside(seen.look_at_slots, 0.2), _asked(stack) as health:
        began = time.monotonic()
        with ThreadPoolExecutor(len(threads)) as pool:
            wakes = [wake for found in pool.map(sender.post, threads) for wake in found]
        posted_s = time.monotonic() - began
        with _beside(sender.read, 2.0):
            wait_until("all ended", lambda: _open(engine, wakes) == 0, SECONDS_MAX, 0.5)
        ended_s = time.monotonic() - began
    told = Figures(health).told()
    cpu_s = _cpu_s(stack)
    sender.api.close()
    return {
        "agents": len(names),
        "posted_s": round(posted_s, 1),
        "all_ended_s": round(ended_s, 1),
        "wakes": _states(engine, wakes),
        "why_failed": _whys(engine, wakes),
        "read_after": Figures(_read_after(engine, wakes)).told(),
        "tries": _tries(engine, wakes),
        "looks": _looks(engine, wakes),
        "processes_max": seen.processes_max,
        "slots_max": seen.slots_max,
        "looks_at_proc": seen.looks,
        "health": told,
        "cpu_s": {name: round(cpu_s[name] - before_s.get(name, 0.0), 1) for name in sorted(cpu_s)},
        "held": told["p95_ms"] < HEALTH_P95_MS and seen.processes_max <= SLOTS and seen.slots_max <= SLOTS,
    }


class Seen:
    """The most that was ever seen at once: agent processes in /proc, taken slots in the database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.processes_max = self.slots_max = self.looks = 0
        self._others: dict[str, int] = {}

    def look(self) -> None:
        """Count the agent processes that live now."""
        pids = [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208  twenty times a second
        self._others = {pid: times for pid, times in self._others.items() if pid in set(pids)}
        self.processes_max = max(self.processes_max, sum(self._is_agent(pid) for pid in pids))
        self.looks += 1

    def _is_agent(self, pid: str) -> bool:
        # What is no agent after a few looks will not become one; before, it may not have been exec-ed yet.
        if self._others.get(pid, 0) > 3:
            return False
        try:
            words = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        if str(PROGRAM).encode() in words[1:5]:
            return True
        self._others[pid] = self._others.get(pid, 0) + 1
        return False

    def look_at_slots(self) -> None:
        """Count the slots that are taken now."""
        with self._engine.connect() as connection:
            self.slots_max = max(self.slots_max, connection.execute(_TAKEN).scalar_one())


@contextmanager
def _beside(work: Callable[[], None], every_s: float) -> Iterator[None]:
    stop = threading.Event()

    def go() -> None:
        while not stop.wait(every_s):
            work()

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


@contextmanager
def _asked(stack: Stack) -> Iterator[list[float]]:
    """Ask /health twenty times a second; how long each answer took, in seconds."""
    taken: list[float] = []
    host, _, port = stack.url.removeprefix("http://").partition(":")

    def ask(due: float) -> None:
        connection = HTTPConnection(host, int(port), timeout=30)
        try:
            connection.request("GET", "/health")
            connection.getresponse().read()
        except (OSError, HTTPException):
            taken.append(30.0)  # no answer is the latest answer
        else:
            taken.append(time.monotonic() - due)
        finally:
            connection.close()

    with ThreadPoolExecutor(32) as pool, _beside(lambda: _submit(pool, ask), HEALTH_EVERY_S):
        yield taken


def _submit(pool: ThreadPoolExecutor, ask: Callable[[float], None]) -> None:
    pool.submit(ask, time.monotonic())


def _cpu_s(stack: Stack) -> dict[str, float]:
    """Processor seconds of each service with all that it started and buried, and of this process."""
    tick = os.sysconf("SC_CLK_TCK")
    spent: dict[int, tuple[float, float]] = {}
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        spent[int(entry.name)] = (sum(map(int, fields[11:13])) / tick, sum(map(int, fields[13:15])) / tick)
        parents[int(entry.name)] = int(fields[1])
    found = dict.fromkeys([*stack.facts["processes"], RUNS], 0.0)
    of = {int(pid): name for name, pid in stack.facts["processes"].items()}
    for pid, (own_s, buried_s) in spent.items():
        above = pid
        while above in parents and above not in of:
            above = parents[above]
        if above in of:
            name = of[above] if pid == above or of[above] != HOST else RUNS
            found[name] += own_s
            found[RUNS if of[above] == HOST else name] += buried_s
    own = resource.getrusage(resource.RUSAGE_SELF)
    return found | {"this measurement": own.ru_utime + own.ru_stime}


_TAKEN = text("SELECT count(*) FROM slots WHERE run_id IS NOT NULL")
_OPEN = text("""
SELECT count(*) FROM wakes WHERE wake_id = ANY(:ids) AND state IN ('pending', 'delivering', 'touching', 'waiting')
""")
_STATES = text("SELECT state, count(*) FROM wakes WHERE wake_id = ANY(:ids) GROUP BY state ORDER BY state")
_WHYS = text("""
SELECT why, count(*) FROM wakes WHERE wake_id = ANY(:ids) AND state = 'failed' GROUP BY why ORDER BY 2 DESC LIMIT 10
""")
_READ_AFTER = text("""
SELECT extract(epoch FROM updated_at - created_at)::float8 FROM wakes
WHERE wake_id = ANY(:ids) AND state IN ('acked', 'already_active')
""")
_TRIES = text("""
SELECT x.rung || ', ' || r.result || ': ' || r.why, count(*) FROM attempts x JOIN runs r USING (attempt_id)
WHERE x.wake_id = ANY(:ids) AND r.state = 'ended' GROUP BY 1 ORDER BY 1
""")
_LOOKS = text("""
SELECT event || coalesce(' ' || reason, ''), count(*) FROM wake_events
WHERE wake_id = ANY(:ids) GROUP BY 1 ORDER BY 2 DESC
""")


def _open(engine: Engine, wakes: list[str]) -> int:
    with engine.connect() as connection:
        return int(connection.execute(_OPEN, {"ids": wakes}).scalar_one())


def _pairs(engine: Engine, statement: Any, wakes: list[str]) -> dict[str, int]:  # noqa: ANN401  a statement
    with engine.connect() as connection:
        return {str(key): int(count) for key, count in connection.execute(statement, {"ids": wakes})}


def _states(engine: Engine, wakes: list[str]) -> dict[str, int]:
    return _pairs(engine, _STATES, wakes)


def _whys(engine: Engine, wakes: list[str]) -> dict[str, int]:
    return _pairs(engine, _WHYS, wakes)


def _tries(engine: Engine, wakes: list[str]) -> dict[str, int]:
    return _pairs(engine, _TRIES, wakes)


def _looks(engine: Engine, wakes: list[str]) -> dict[str, int]:
    """How often each thing happened to a wake, with what it waited for then."""
    return _pairs(engine, _LOOKS, wakes)


def _read_after(engine: Engine, wakes: list[str]) -> list[float]:
    with engine.connect() as connection:
        return [float(row[0]) for row in connection.execute(_READ_AFTER, {"ids": wakes})]
