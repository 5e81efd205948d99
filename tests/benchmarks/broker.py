"""Life without a broker: posts answer, wakes arrive, and FLUSHALL delays by a moment."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import redis
from sqlalchemy import text

from tests.benchmarks.world import Figures, World
from tests.chaos.stack import wait_until

POSTS = 200
POST_P99_MS = 300
HANDED_P95_MS = 8000
LATE_S_MAX = 6.0


def measure(here: World, say: Callable[[str], None]) -> dict[str, Any]:
    """Posts and wakes with the broker healthy, frozen and killed; then FLUSHALL with 100 wakes open."""
    for agent in here.agents:
        agent.mode = "reads"
    crowd = [here.thread([agent.agent_id for agent in here.agents[:20]])]
    found: dict[str, Any] = {}
    for name, state in (("healthy", _healthy()), ("frozen", _frozen(here)), ("killed", _killed(here))):
        with state:
            posted = here.post_all()
            handed = here.typed_after(posted, 90)
            posts = _posts(here, [*crowd, *list(here.threads.values())[:4]])
        found[name] = {"post": posts.told(), "message_to_wake": handed.told()}
        told = found[name]
        told["held"] = (
            told["post"]["p99_ms"] < POST_P99_MS and told["message_to_wake"]["p95_ms"] < HANDED_P95_MS
        )
        post_ms, wake_ms = told["post"]["p99_ms"], told["message_to_wake"]["p95_ms"]
        say(f"broker {name}: post p99 {post_ms:.0f} ms, wake p95 {wake_ms:.0f} ms")
        _all_ended(here)
    found["flushall"] = _flushall(here)
    say(
        f"FLUSHALL with {found['flushall']['open']} wakes open: latest {found['flushall']['latest_s']:.1f} s late"
    )
    return found


def _posts(here: World, threads: list[str]) -> Figures:
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda n: here.post(threads[n % len(threads)])[0], range(POSTS)))
    return Figures(taken)


@contextmanager
def _healthy() -> Iterator[None]:
    yield


@contextmanager
def _frozen(here: World) -> Iterator[None]:
    here.stack.signal("broker", signal.SIGSTOP)
    try:
        yield
    finally:
        here.stack.signal("broker", signal.SIGCONT)


@contextmanager
def _killed(here: World) -> Iterator[None]:
    """Killed again as often as the manager starts it."""
    stop = threading.Event()

    def go() -> None:
        while not stop.wait(0.05):
            try:
                os.kill(here.stack.pid("broker"), signal.SIGKILL)
            except (ProcessLookupError, KeyError, ValueError):
                continue

    killer = threading.Thread(target=go, daemon=True)
    killer.start()
    try:
        yield
    finally:
        stop.set()
        killer.join(5)


_OPEN = text("SELECT count(*) FROM wakes WHERE state IN ('pending', 'delivering', 'touching', 'waiting')")
_LATE = text("""
SELECT coalesce(max(extract(epoch FROM at - due)), 0) FROM (
    SELECT at, CAST(lag(detail->>'due_at') OVER (PARTITION BY wake_id ORDER BY n) AS timestamptz) AS due, event
    FROM wake_events WHERE at >= :since) story WHERE event = 'due' AND due IS NOT NULL
""")


def _all_ended(here: World) -> None:
    def none_open() -> bool:
        with here.engine.connect() as connection:
            return int(connection.execute(_OPEN).scalar_one()) == 0

    wait_until("every wake ended", none_open, 120, 0.2)


def _flushall(here: World) -> dict[str, Any]:
    """How late any deadline is looked at after it: no wake ends later than that plus its normal time."""
    for agent in here.agents:
        agent.mode = "silent"
    since = here.database_now()
    for agent in here.agents:
        for _ in range(3):
            here.post(here.thread([agent.agent_id]))
    with here.engine.connect() as connection:
        count = int(connection.execute(_OPEN).scalar_one())
    url = here.stack.facts["broker_url"]
    client = (
        redis.Redis(unix_socket_path=url.split("://", 1)[1]) if "socket" in url else redis.Redis.from_url(url)
    )
    began = time.monotonic()
    client.flushall()
    client.close()
    _all_ended(here)
    ended_s = time.monotonic() - began
    with here.engine.connect() as connection:
        latest_s = float(connection.execute(_LATE, {"since": since}).scalar_one())
    return {
        "open": count,
        "latest_s": round(latest_s, 3),
        "all_ended_s": round(ended_s, 1),
        "held": latest_s <= LATE_S_MAX,
    }
