"""What the benchmarks share: a stack with a fleet, latencies, and lateness as the wakes' own history tells it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import create_engine, text

from tests.chaos.fleet import Api, FleetAgent, Ledger
from tests.chaos.stack import Stack, running_stack, wait_until

POLICY: dict[str, Any] = {
    "live": {"tries": 3, "accept_timeout_s": 2, "read_timeout_s": 2},
    "resume": {"tries": 0, "accept_timeout_s": 2, "read_timeout_s": 2},
    "spawn": {"tries": 0, "accept_timeout_s": 2, "read_timeout_s": 2},
    "backoff_s_initial": 1,
    "recheck_s": 1,
    "defer_recheck_s": 1,
    "seat_wait_s": 30,
    "lease_s": 10,
    "wake_life_s_max": 120,
    "read_extension_s_max": 2,
    "wakes_per_minute_max": 1_000_000,
    "turns_max": 1_000_000,
    "breaker_s_initial": 1,
    "breaker_s_max": 2,
    "listen_grace_s": 1,
    # One sender stands for many here.
    "posts_rate": {"agent_per_minute": 1_000_000, "agent_burst": 1_000_000},
    "reads_rate": {"agent_per_minute": 1_000_000, "agent_burst": 1_000_000},
}


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share lies; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass
class Figures:
    """Samples in seconds, told in milliseconds."""

    samples: list[float] = field(default_factory=list)

    def told(self) -> dict[str, float]:
        """Count and quantiles."""
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
        found = {
            f"{name}_ms": round(quantile(self.samples, share) * 1000, 1) for name, share in shares.items()
        }
        return {"n": len(self.samples), **found, "max_ms": round(max(self.samples, default=0.0) * 1000, 1)}


class World:
    """A running stack with a fleet of agents, each in a thread with a sender of its own."""

    def __init__(self, stack: Stack, agents: int) -> None:
        self.stack, self.ledger = stack, Ledger()
        self.operator = Api(stack.url, stack.operator_token)
        self.sender = self._api("sender")
        self.agents = [self._agent(f"agent-{n:03d}") for n in range(agents)]
        self.threads = {agent.agent_id: self.thread([agent.agent_id]) for agent in self.agents}
        self.engine = create_engine(stack.facts["database_url"], pool_size=2)

    def _token(self, name: str) -> str:
        asked = {"agent_id": name, "role": "participant", "session_id": f"{name}-s"}
        return str(self.operator.call("POST", "/v1/tokens", json=asked)["token"])

    def _api(self, name: str) -> Api:
        return Api(self.stack.url, self._token(name))

    def _agent(self, name: str) -> FleetAgent:
        sock = self.stack.run_dir / "host-local.sock"
        return FleetAgent(name, f"{name}-s", self._token(name), self.stack.url, sock, self.ledger)

    def thread(self, people: Sequence[str]) -> str:
        """A new thread of these people and the sender."""
        everybody = [{"agent_id": name} for name in ("sender", *people)]
        body = {"title": "bench", "type": "workflow", "participants": everybody}
        return str(self.operator.call("POST", "/v1/threads", json=body)["thread_id"])

    def attach(self) -> None:
        """Everybody dials in."""
        for agent in self.agents:
            agent.start()
        for agent in self.agents:
            wait_until(f"{agent.agent_id} is attached", agent.attached.is_set, 30)

    def post(self, thread_id: str, body: str = "hello") -> tuple[float, dict[str, Any]]:
        """Post once as the sender: how long it took, and the answer."""
        began = time.monotonic()
        answer = self.sender.call("POST", f"/v1/threads/{thread_id}/messages", json={"body": body})
        return time.monotonic() - began, answer

    def post_all(self) -> dict[str, float]:
        """One message to each agent at once; when each was acknowledged (monotonic seconds), by wake."""
        posted: dict[str, float] = {}

        def one(agent: FleetAgent) -> None:
            _, answer = self.post(self.threads[agent.agent_id])
            posted[answer["wakes"][0]["wake_id"]] = time.monotonic()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, self.agents))
        return posted

    def typed_after(self, posted: dict[str, float], timeout_s: float) -> Figures:
        """From the acknowledged post to the line in the terminal, for each of these wakes."""

        def all_typed() -> bool:
            with self.ledger.lock:
                return set(posted) <= {wake for _, wake in self.ledger.typed_at}

        wait_until("every wake was handed over", all_typed, timeout_s)
        with self.ledger.lock:
            at = {wake: when for (_, wake), when in self.ledger.typed_at.items()}
        return Figures([max(0.0, at[wake] - when) for wake, when in posted.items()])

    def lateness(self, since: Any) -> dict[str, Figures]:  # noqa: ANN401  a database time
        """How late each deadline and retry was looked at, by what it was."""
        found: dict[str, Figures] = {}
        with self.engine.connect() as connection:
            for kind, late_s in connection.execute(_LATENESS, {"since": since}):
                found.setdefault(kind, Figures()).samples.append(float(late_s))
        return found

    def database_now(self) -> Any:  # noqa: ANN401  a database time
        """The one clock."""
        with self.engine.connect() as connection:
            return connection.execute(text("SELECT bridge_now()")).scalar_one()

    def close(self) -> None:
        """Everybody hangs up."""
        for agent in self.agents:
            agent.stop()
        self.sender.close()
        self.operator.close()
        self.engine.dispose()


_LATENESS = text("""
SELECT kind, extract(epoch FROM at - due) FROM (
    SELECT at, event, lag(to_state) OVER w AS state, lag(reason) OVER w AS reason,
        CAST(lag(detail->>'due_at') OVER w AS timestamptz) AS due,
        CASE WHEN lag(to_state) OVER w = 'waiting' AND lag(detail->>'accepted') OVER w = 'true' THEN 'check_read'
             WHEN lag(to_state) OVER w = 'waiting' THEN 'check_accept'
             WHEN lag(reason) OVER w = 'backoff' THEN 'retry' END AS kind
    FROM wake_events WINDOW w AS (PARTITION BY wake_id ORDER BY n)
) story WHERE event = 'due' AND kind IS NOT NULL AND due IS NOT NULL AND at >= :since
""")


@contextmanager
def world(agents: int) -> Iterator[World]:
    """A stack with an attached fleet, ended after use."""
    with running_stack(POLICY) as stack:
        here = World(stack, agents)
        try:
            here.attach()
            yield here
        finally:
            here.close()
