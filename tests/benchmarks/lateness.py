"""How late checks and retries are looked at: idle, with load beside, with one beat held, with both held."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.benchmarks.world import World
from tests.chaos.stack import wait_until

SAMPLES = 200
TARGET_MS = {"idle": 100, "50 posts/s beside": 500, "one beat held": 3000, "both beats held": 3000}


def measure(here: World, say: Callable[[str], None]) -> dict[str, Any]:
    """p99 by phase and kind, each of at least SAMPLES samples."""
    found: dict[str, Any] = {}
    phases = {
        "idle": _nothing(),
        "50 posts/s beside": _load(here),
        "one beat held": _held(here, "beat-0"),
        "both beats held": _held(here, "beat-0", "beat-1"),
    }
    for name, beside in phases.items():
        with beside:
            found[name] = _phase(here)
        worst = max(kind["p99_ms"] for kind in found[name].values())
        found[name]["target_p99_ms"] = TARGET_MS[name]
        found[name]["held"] = worst <= TARGET_MS[name]
        say(f"lateness, {name}: worst p99 {worst:.0f} ms (target {TARGET_MS[name]})")
    return found


def _phase(here: World) -> dict[str, Any]:
    """Half of the fleet takes lines and ignores them (check_read), half does not show that it took them."""
    since = here.database_now()
    for n, agent in enumerate(here.agents):
        agent.mode = "ignores" if n % 2 else "silent"
    kinds = ("check_accept", "check_read", "retry")

    def enough() -> bool:
        late = here.lateness(since)
        return all(len(late[kind].samples) >= SAMPLES for kind in kinds if kind in late) and len(late) == len(
            kinds
        )

    stop = threading.Event()
    feeder = threading.Thread(target=_feed, args=(here, stop), daemon=True)
    feeder.start()
    try:
        wait_until("enough samples", enough, 240, 1.0)
    finally:
        stop.set()
        feeder.join(30)
    return {kind: figures.told() for kind, figures in sorted(here.lateness(since).items())}


def _feed(here: World, stop: threading.Event) -> None:
    while not stop.is_set():
        for agent in here.agents:
            if stop.wait(0.05):
                return
            here.post(here.threads[agent.agent_id])


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _load(here: World) -> Iterator[None]:
    """50 posts a second to threads that nobody is woken in."""
    stop = threading.Event()
    alone = here.thread([])

    def go() -> None:
        while not stop.wait(0.02):
            here.post(alone, "load")

    threads = [threading.Thread(target=go, daemon=True)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)


@contextmanager
def _held(here: World, *names: str) -> Iterator[None]:
    for name in names:
        here.stack.signal(name, signal.SIGSTOP)
    try:
        yield
    finally:
        for name in names:
            here.stack.signal(name, signal.SIGCONT)
