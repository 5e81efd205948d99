"""Ten thousand malformed posts in a minute beside honest traffic: only 4xx, memory flat, and what the honest notice.

Quiet and burst take turns, so that a machine that gets slower meanwhile slows both.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from threading import Event
from typing import Any

import httpx

from tests.benchmarks.world import Figures, World
from tests.chaos.fleet import Api
from tests.security.burst import KINDS, fire

SHOTS = 10_000
SECONDS = 60.0
TURNS = 4
"""Of quiet and of burst each."""
GUNS = 4
HONEST_PER_S = 20.0


def measure(here: World, say: Callable[[str], None]) -> dict[str, Any]:
    """Statuses, memory of the web workers before and after, and the honest latencies with and without the burst."""
    path = f"/v1/threads/{here.thread([])}/messages"
    _burst(here, path, SHOTS // 20, SECONDS / 20)  # warm: what a worker keeps for ever it has by now
    before = _rss(here)
    counted: Counter[int] = Counter()
    quiet, beside = Figures(), Figures()
    took_s = 0.0
    for _ in range(TURNS):
        quiet.samples += _honest(here, path, SECONDS / TURNS, Event())
        over = Event()
        with ThreadPoolExecutor(1) as pool:
            honest = pool.submit(_honest, here, path, 10 * SECONDS, over)
            began = time.monotonic()
            counted += _burst(here, path, SHOTS // TURNS, SECONDS / TURNS)
            took_s += time.monotonic() - began
            over.set()
            beside.samples += honest.result()
    after = _rss(here)
    ratio = {name: beside.told()[name] / quiet.told()[name] for name in ("p50_ms", "p95_ms")}
    say(
        f"{counted.total()} malformed posts of {len(KINDS)} kinds in {took_s:.0f} s: {dict(sorted(counted.items()))}"
    )
    say(f"memory of the web workers after / before: {after / before:.3f} ({after / 2**20:.0f} MiB)")
    say(f"honest posts beside the burst / alone: p50 x{ratio['p50_ms']:.2f}, p95 x{ratio['p95_ms']:.2f}")
    return {
        "statuses": {str(status): number for status, number in sorted(counted.items())},
        "seconds": round(took_s, 1),
        "rss_ratio": round(after / before, 3),
        "alone": quiet.told(),
        "beside": beside.told(),
    }


def _burst(here: World, path: str, shots: int, seconds: float) -> Counter[int]:
    """So many, evenly over that time; a kind that gets two statuses, or another than its own, stops the bench."""
    token, url = here._token("vandal"), here.stack.url

    def gun(number: int) -> Counter[int]:
        found: Counter[int] = Counter()
        kinds = cycle(KINDS)
        with httpx.Client(base_url=url, timeout=30) as client:
            for _ in _paced(shots // GUNS, seconds):
                kind = next(kinds)
                status, _, _ = fire(client, path, token, kind)
                assert status == kind.status, (number, kind.name, status)
                found[status] += 1
        return found

    with ThreadPoolExecutor(GUNS) as pool:
        return sum(pool.map(gun, range(GUNS)), Counter[int]())


def _paced(times: int, seconds: float) -> Iterator[None]:
    """So many turns, none before its time."""
    began = time.monotonic()
    for number in range(times):
        time.sleep(max(0.0, began + number * seconds / times - time.monotonic()))
        yield


def _honest(here: World, path: str, seconds: float, over: Event) -> list[float]:
    """An agent that posts now and again, until it is over."""
    api, taken = Api(here.stack.url, here._token("sender")), []
    for _ in _paced(int(seconds * HONEST_PER_S), seconds):
        if over.is_set():
            break
        began = time.monotonic()
        api.call("POST", path, json={"body": "x" * 200})
        taken.append(time.monotonic() - began)
    api.close()
    return taken


def _rss(here: World) -> int:
    """Bytes that the web's workers hold."""
    web = here.stack.facts["processes"]["web"]
    workers = Path(f"/proc/{web}/task/{web}/children").read_text(encoding="ascii").split()
    return sum(_pages(worker) for worker in workers) * 4096


def _pages(pid: str) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
