"""Posting: how many a second, and how fast, to own threads and to one thread, by 1, 8 and 32 clients over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.benchmarks.world import Figures, World
from tests.chaos.fleet import Api

SECONDS = 4.0


def measure(here: World, say: Callable[[str], None]) -> dict[str, Any]:
    """Rates as seen by clients on the same two cores."""
    found: dict[str, Any] = {}
    for clients in (1, 8, 32):
        for shared in (False, True):
            threads = [here.thread([])] * clients if shared else [here.thread([]) for _ in range(clients)]
            name = f"{clients} clients, {'one thread' if shared else 'own threads'}"
            found[name] = _run(here, threads)
            say(f"{name}: {found[name]['per_s']:.0f} posts/s, p95 {found[name]['p95_ms']:.0f} ms")
    return found


def _run(here: World, threads: list[str]) -> dict[str, Any]:
    token = here._token("sender")
    ends = time.monotonic() + SECONDS

    def client(thread_id: str) -> list[float]:
        api, taken = Api(here.stack.url, token), []
        while time.monotonic() < ends:
            began = time.monotonic()
            api.call("POST", f"/v1/threads/{thread_id}/messages", json={"body": "x" * 200})
            taken.append(time.monotonic() - began)
        api.close()
        return taken

    with ThreadPoolExecutor(len(threads)) as pool:
        samples = [taken for found in pool.map(client, threads) for taken in found]
    return {"per_s": round(len(samples) / SECONDS, 1), **Figures(samples).told()}
