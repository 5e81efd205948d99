"""The runs' chaos: kill -9 of the host's worker, of a shim, of both, in the middle of a resume.

After each kill nothing that carries the marks of the runs that were hit may live for more than `GONE_S`. In the end a
watcher's lives say whether two agents of one session ever lived at once, and every wake, run and slot is accounted for.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tests.chaos.run import open_wakes
from tests.chaos.runs_world import POLICY, RunsWorld, Watch, meet, watching
from tests.chaos.stack import StackFailed, running_stack, wait_until
from tests.chaos.watcher import AGENT, SHIM, Seen, overlaps
from tests.support.audit import broken_history
from tests.support.invariants import broken as broken_invariants

FAULTS = ("worker", "shim", "both", "frozen worker", "agent")
MOMENTS = ("any", "touched", "started", "working", "read")
WORKERS = ("worker", "both", "frozen worker")
FIRST = ("worker", "shim", "both")  # what a short run does
GONE_S = 10.0
GIVE_UP_S = 40.0
VICTIM_S = 40.0
POSTS_A_ROUND = 2
FREEZE_S = (0.05, 2.0)
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: what, when, how many runs it hit, after how many seconds nothing of them lived."""

    fault: str
    moment: str
    runs: int
    gone_s: float
    back_s: float | None = None  # until a killed worker's successor listened


@dataclass
class RunsAccount:
    """What it showed; `broken` lists every promise that did not hold."""

    kills: list[Kill] = field(default_factory=list)
    kills_of: dict[str, int] = field(default_factory=dict)
    moments_missed: int = 0
    gone_s_max: float = 0.0
    gone_s_median: float = 0.0
    gone_s_max_of: dict[str, float] = field(default_factory=dict)
    worker_back_s_median: float = 0.0
    worker_back_s_max: float = 0.0
    unmarked_left_of: dict[str, int] = field(default_factory=dict)
    posted: int = 0
    read: int = 0
    wakes: dict[str, int] = field(default_factory=dict)
    failed_why: dict[str, int] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    all_ended_s: float = 0.0
    sessions: int = 0
    agents_seen: int = 0
    agents_logged: int = 0
    overlaps: int = 0
    overlaps_of_an_agent: int = 0
    watcher: dict[str, float] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def chaos_runs(kills: int, *, seed: int, say: Callable[[str], None], agents: int = 6) -> RunsAccount:
    """So many kills, and the account. Bounded by the wakes' life."""
    account = RunsAccount()
    with tempfile.TemporaryDirectory(prefix="wb-agents-") as name, running_stack(POLICY) as stack:
        world = RunsWorld(stack, Path(name), agents, seed)
        try:
            with watching(world) as end_watch:
                world.start()
                for fault, moment in islice(deck(world.chance), kills):
                    _round(world, fault, moment, account, say)
                _settle(world, account, say)
                _judge_watch(world, end_watch(), account)
        finally:
            world.close()
    _sum_up(account)
    return account


def deck(chance: random.Random) -> Iterator[tuple[str, str]]:
    """Every fault at every moment, shuffled, again and again; a short run begins with what matters most."""
    first = [(fault, chance.choice(MOMENTS[1:])) for fault in FIRST]
    yield from first
    rest = [(fault, moment) for fault in FAULTS for moment in MOMENTS if (fault, moment) not in first]
    while True:
        chance.shuffle(rest)
        yield from rest
        rest = [(fault, moment) for fault in FAULTS for moment in MOMENTS]


# --- one kill -----------------------------------------------------------------------------------------------


def _round(
    world: RunsWorld, fault: str, moment: str, account: RunsAccount, say: Callable[[str], None]
) -> None:
    world.worker_ready()
    before = {one.run for one in world.living()}
    since = world.owner.value("SELECT clock_timestamp()")
    for agent in world.chance.sample(world.agents, POSTS_A_ROUND):
        world.post(agent)
    if not meet(world, moment, since, before):
        account.moments_missed += 1
        say(f"{fault}, {moment}: the moment never came; it is killed now")
    began, hit = _strike(world, fault)
    gone_s = _until_gone(world, fault, began, hit, account)
    back_s = None
    if fault in WORKERS:
        world.worker_ready()
        back_s = round(time.monotonic() - began, 2)
    account.kills.append(Kill(fault, moment, len(hit), round(gone_s, 3), back_s))
    told = f"kill {len(account.kills)}: {fault}, {moment}: {len(hit)} runs hit, nothing of them {gone_s:.2f} s later"
    say(told if back_s is None else f"{told}; the next worker {back_s:.1f} s later")


def _strike(world: RunsWorld, fault: str) -> tuple[float, set[str]]:
    """Kill; when, and the runs that it hit."""
    if fault in ("shim", "agent"):
        return _victim(world, SHIM if fault == "shim" else AGENT)
    if fault == "frozen worker":
        os.kill(world.worker(), signal.SIGSTOP)
        time.sleep(world.chance.uniform(*FREEZE_S))
    orders: list[Callable[[], None]] = [world.kill_worker]
    if fault == "both":
        shims = [one for one in world.living() if one.kind == SHIM]
        orders += [lambda shim=shim: _kill(shim) for shim in shims]  # type: ignore[misc]
        world.chance.shuffle(orders)
    before = {one.run for one in world.living()}
    began = time.monotonic()
    for order in orders:
        order()
    # Its successor is not there for a while: whatever carries marks or is open now was the dead one's too.
    begun = {row["run_id"] for row in world.owner.rows("SELECT run_id FROM runs WHERE state <> 'ended'")}
    return began, before | begun | {one.run for one in world.living()}


def _victim(world: RunsWorld, kind: str) -> tuple[float, set[str]]:
    """Kill the youngest of that kind; posts on until there is one."""
    ends = time.monotonic() + VICTIM_S
    while time.monotonic() < ends:
        with contextlib.suppress(StackFailed):
            victim: Seen = wait_until(f"there is one: {kind}", lambda: world.newest(kind), 4, POLL_S)
            began = time.monotonic()
            _kill(victim)
            return began, {victim.run}
        world.post(world.chance.choice(world.agents))
    raise StackFailed(f"no {kind} to kill within {VICTIM_S:g} s")


def _kill(one: Seen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(one.pid, signal.SIGKILL)


def _until_gone(world: RunsWorld, fault: str, began: float, hit: set[str], account: RunsAccount) -> float:
    """How long something of the runs lived. Whom a killed shim lost sight of counts only by its marks."""
    whole = fault not in ("shim", "both")
    while True:
        left = [one for one in world.living() if one.run in hit]
        now = time.monotonic()
        counted = [one for one in left if one.marked or whole]
        if not counted or now - began > GIVE_UP_S:
            break
        time.sleep(POLL_S)
    if now - began > GONE_S:
        account.broken.append(
            f"{fault}: after {now - began:.1f} s there lived: {counted or 'nothing any more'}"
        )
    if not whole:
        left_over = account.unmarked_left_of.get(fault, 0)
        account.unmarked_left_of[fault] = left_over + _end_unmarked(world, hit)
    return now - began


def _end_unmarked(world: RunsWorld, hit: set[str]) -> int:
    """Who escaped without a mark, when its shim was killed: counted after a last chance, and ended."""
    with contextlib.suppress(StackFailed):
        wait_until("the unmarked are gone", lambda: not _unmarked(world, hit), 1, POLL_S)
    left = _unmarked(world, hit)
    for one in left:
        _kill(one)
    return len(left)


def _unmarked(world: RunsWorld, hit: set[str]) -> list[Seen]:
    return [one for one in world.living() if one.run in hit and not one.marked]


# --- the account ----------------------------------------------------------------------------------------------


def _settle(world: RunsWorld, account: RunsAccount, say: Callable[[str], None]) -> None:
    say(f"load over after {world.posted} acknowledged posts; waiting for every wake to end")
    began = time.monotonic()
    life_s = POLICY["wake_life_s_max"] + 30
    _expect(account, "every wake ended", lambda: not open_wakes(world.operator), life_s)
    account.all_ended_s = round(time.monotonic() - began, 2)
    _expect(account, "every run ended", lambda: not _count(world, "runs WHERE state <> 'ended'"), 30)
    _expect(account, "every slot is free", lambda: not _count(world, "slots WHERE run_id IS NOT NULL"), 5)
    _expect(account, "no process of a run lives", lambda: not world.living(), GONE_S)
    account.posted = world.posted
    account.wakes = _by(world, "SELECT state AS key, count(*) AS n FROM wakes GROUP BY 1")
    account.failed_why = _by(
        world, "SELECT coalesce(why, '') AS key, count(*) AS n FROM wakes WHERE state = 'failed' GROUP BY 1"
    )
    account.runs = _by(
        world, "SELECT rung || ' ' || coalesce(result, state) AS key, count(*) AS n FROM runs GROUP BY 1"
    )
    account.lost = _by(world, _LOST)
    if "" in account.failed_why:
        account.broken.append("a wake failed without a reason")
    _judge_messages(world, account)
    account.broken += [f"{name}: {rows}" for name, rows in broken_invariants(world.owner).items()]
    account.broken += [str(problem) for problem in broken_history(world.owner)]


def _expect(account: RunsAccount, what: str, condition: Callable[[], bool], timeout_s: float) -> None:
    try:
        wait_until(what, condition, timeout_s, 0.2)
    except StackFailed as error:
        account.broken.append(str(error))


def _count(world: RunsWorld, rows: str) -> int:
    return int(world.owner.value(f"SELECT count(*) FROM {rows}"))  # noqa: S608  our own words


def _by(world: RunsWorld, sql: str) -> dict[str, int]:
    return {str(row["key"]): int(row["n"]) for row in world.owner.rows(sql)}


_LOST = """
SELECT CASE WHEN proved_at IS NOT NULL THEN 'after it was proved' WHEN started_at IS NOT NULL
    THEN 'after it was started' ELSE 'before it was known to be started' END AS key, count(*) AS n
FROM runs WHERE result = 'lost' GROUP BY 1
"""

_READER = """
SELECT m.body, p.last_read_seq >= m.seq AS read, EXISTS (SELECT FROM wakes w WHERE w.thread_id = m.thread_id
    AND w.agent_id = p.agent_id AND w.state = 'failed' AND w.offered_seq >= m.seq) AS failed
FROM messages m JOIN participants p ON p.thread_id = m.thread_id AND p.agent_id <> m.sender_agent_id
WHERE m.thread_id = :thread_id AND m.seq = :seq
"""


def _judge_messages(world: RunsWorld, account: RunsAccount) -> None:
    for thread_id, posts in world.ledger.posted.items():
        for seq, body in posts:
            found = world.owner.rows(_READER, thread_id=thread_id, seq=seq)
            if [row["body"] for row in found] != [body]:
                account.broken.append(f"{thread_id}: acknowledged message {seq} is lost or another")
            elif found[0]["read"]:
                account.read += 1
            elif not found[0]["failed"]:
                account.broken.append(f"{thread_id}: message {seq} was not read, and no wake says why")


def _judge_watch(world: RunsWorld, watch: Watch, account: RunsAccount) -> None:
    """What lived beside what: by the watcher's lives, and by the lock that each agent takes on its session."""
    lines = Path(world.folder, "agents.jsonl").read_text(encoding="utf-8").splitlines()
    agents = [line for line in map(json.loads, lines) if line["what"] == "agent"]
    account.agents_seen, account.agents_logged = len(watch.lives), len(agents)
    account.sessions = len({agent["session"] for agent in agents} | {life.session for life in watch.lives})
    account.watcher = {name: round(value, 1) for name, value in watch.facts.items()}
    for one, two in overlaps(watch.lives):
        account.overlaps += 1
        account.broken.append(f"two agents of one session lived at once: {one} and {two}")
    for agent in agents:
        if not agent["alone"]:
            account.broken.append(f"an agent found another one in its session: {agent}")
    whose = {row["run_id"]: row["agent_id"] for row in world.owner.rows("SELECT run_id, agent_id FROM runs")}
    account.overlaps_of_an_agent = len(overlaps(watch.lives, lambda life: whose.get(life.run, life.run)))


def _sum_up(account: RunsAccount) -> None:
    if not account.kills:
        return
    times = [kill.gone_s for kill in account.kills]
    account.gone_s_max, account.gone_s_median = max(times), round(statistics.median(times), 3)
    back = [kill.back_s for kill in account.kills if kill.back_s is not None]
    if back:
        account.worker_back_s_max, account.worker_back_s_median = max(back), statistics.median(back)
    account.kills_of = dict(Counter(kill.fault for kill in account.kills))
    for kill in account.kills:
        account.gone_s_max_of[kill.fault] = max(kill.gone_s, account.gone_s_max_of.get(kill.fault, 0.0))


def summary(account: RunsAccount) -> dict[str, Any]:
    """The account without the list of kills, which the story tells."""
    return {name: value for name, value in vars(account).items() if name != "kills"}
