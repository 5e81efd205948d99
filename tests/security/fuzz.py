"""Malformed input against every call: nothing may answer 500. `python -m tests.security.fuzz --seconds 60 --seed 1`.

Two guns, for one finds what the other does not: this one bends bytes, headers, encodings and known traps, and aims at
what is there; `conformance` asks from our own OpenAPI, and knows which answer was promised.

Rules of this file:

- Requests are made from the route table and the models' own fields, then bent; so most get past the first check.
- A seed gives the same requests again. What was answered 5xx is printed whole, and the exit code is 1.
- The target is a web of its own, over servers of its own, started for the run.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bridge.bootstrap import prepare_database
from bridge.config import Settings
from bridge.core.policy import RATES
from bridge.core.states import Role
from bridge.stack.servers import embedded_servers
from tests.security.conformance import conform
from tests.support.web import Mint, free_port, gunicorn
from web.app import load_routes
from web.routing import Route

ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    10**30,
    1.5,
    -0.0,
    1e308,
    "",
    " ",
    "\0",
    "\ud800",
    "a" * 70_000,
    "💥" * 40,
    "'; DROP TABLE messages; --",
    "../../etc/passwd",
    "%00",
    "alice",
    "bob",
    "active",
    "2026-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+14:00",
    [],
    {},
    [[]],
    {"a": {"b": [1, {"c": None}]}},
    ["alice", "alice"],
    {"type": "finding_reported", "line": 2**40},
    {"type": "fix_pushed", "commit": {"x": 1}},
    {"type": "x", "finding_ids": {"a": 1}, "commit": None},
    {"type": "finding_verified", "finding_id": "a", "text": 3},
    {"type": "decision", "text": "x"},
    {"type": "finding_reported", "finding_id": "F1", "file": "a", "line": 1, "text": "b"},
]
ROLES = [*Role, *([Role.OPERATOR] * 6), *([Role.PARTICIPANT] * 3)]
"""Mostly those who may do something."""
HEADERS = [
    {"Idempotency-Key": "k1"},
    {"Idempotency-Key": "\x7f"},
    {"X-Request-ID": "ü" * 10},
    {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"},
    {"traceparent": "00-zz"},
    {"Content-Type": "application/json; charset=utf-16"},
    {"Content-Type": 'application/json; x="'},
    {"Accept": "*/*;q=nan"},
    {"Expect": "200-nothing"},
]


@dataclass(frozen=True)
class Shot:
    """One request."""

    method: str
    path: str
    content: bytes | None
    headers: dict[str, bytes]


class Gun:
    """Makes requests from one seed."""

    def __init__(self, seed: int, mint: Mint, ids: dict[str, list[str]]) -> None:
        self._random = random.Random(seed)
        self._mint, self._ids = mint, ids
        self._routes: list[Route] = load_routes()

    def shots(self) -> Iterator[Shot]:
        """Requests without end."""
        while True:
            route = self._random.choice(self._routes)
            token = self._mint.token(
                self._random.choice(["alice", "bob", "boss"]), self._random.choice(ROLES)
            )
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            if self._random.random() < 0.2:
                headers |= self._random.choice(HEADERS)
            method = route.method if self._random.random() < 0.97 else self._random.choice(["HEAD", "PATCH"])
            sent = {name: value.encode("utf-8", "surrogatepass") for name, value in headers.items()}
            yield Shot(method, self._path(route) + self._query(route), self._content(route), sent)

    def _path(self, route: Route) -> str:
        def fill(found: re.Match[str]) -> str:
            known = [*self._ids.get(found[1], []), "1", "alice", "ses_alice"]
            if self._random.random() < 0.85:
                return self._random.choice(known)
            return self._random.choice(
                ["%00", "%ff", "%2f", "x" * 300, "-1", "1e9", "9" * 40, "%F0%9F%92%A5"]
            )

        return re.sub(r"\{(\w+)\}", fill, route.path)

    def _query(self, route: Route) -> str:
        names = [name for name in route.query.model_fields if name != "wait_s"]
        chosen = [name for name in names if self._random.random() < 0.3]
        values = [
            "1",
            "0",
            "-1",
            "x",
            "alice",
            "%00",
            "%ff",
            "9" * 30,
            "active",
            "1e5",
            "",
            "WyJhIl0",
            "true",
        ]
        pairs = [f"{name}={self._random.choice(values)}" for name in chosen]
        return "?" + "&".join(pairs) if pairs else ""

    def _content(self, route: Route) -> bytes | None:
        if route.method == "GET":
            return None
        fields = list(route.body.model_fields) if route.body else []
        said = {name: self._value(name) for name in fields if self._random.random() < 0.6}
        if self._random.random() < 0.1:
            said[self._random.choice(["x", "agent_id", "workspace_id", "__class__"])] = self._random.choice(
                ODD
            )
        raw = json.dumps(said).encode()
        if self._random.random() < 0.1:
            bent = bytearray(raw)
            for _ in range(self._random.randint(1, 4)):
                bent[self._random.randrange(len(bent))] = self._random.randrange(256)
            raw = bytes(bent)
        return raw

    def _value(self, name: str) -> Any:  # noqa: ANN401  any JSON
        if self._random.random() < 0.6 and name in GOOD:
            return self._random.choice(GOOD[name])
        return self._random.choice(ODD)


GOOD: dict[str, list[Any]] = {
    "schema_version": [1, 1, 2],
    "title": ["x"],
    "type": ["workflow", "conversation"],
    "participants": [[{"agent_id": "alice"}, {"agent_id": "bob", "role": "r"}]],
    "body": ["hello"],
    "kind": ["chat", "event"],
    "reason": ["because"],
    "status": ["active", "blocked", "resolved", "idle"],
    "runtime": ["pty"],
    "last_read_seq": [0, 1, 2],
    "target_agent_id": ["alice", "bob"],
    "agent_id": ["alice", "bob", "zoe"],
    "to": [["bob"], ["alice", "bob"]],
    "to_role": ["r"],
    "scope": ["all", "agent:zoe", "host:x"],
    "role": ["r", "participant"],
    "ttl_s": [60],
    "host": ["local"],
}


def bombard(
    client: httpx.Client, shots: Iterator[Shot], go_on: Callable[[], bool]
) -> tuple[Counter[int], list[str]]:
    """Send until it is enough: how many of each status, and what was answered that must not be."""
    counted: Counter[int] = Counter()
    bad: list[str] = []
    for shot in shots:
        if not go_on():
            break
        headers = [(name.encode(), value) for name, value in shot.headers.items()]
        answer = client.request(shot.method, shot.path, content=shot.content, headers=headers)
        counted[answer.status_code] += 1
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            bad.append(f"{answer.status_code} {shot.method} {shot.path} {shot.content!r} -> {answer.text}")
        elif answer.is_error and shot.method != "HEAD" and not _is_problem(answer):
            bad.append(
                f"{answer.status_code} without a problem: {shot.method} {shot.path} -> {answer.text[:300]}"
            )
    return counted, bad


def _is_problem(answer: httpx.Response) -> bool:
    return answer.headers.get("Content-Type") == "application/problem+json" and "code" in answer.json()


def prepare(client: httpx.Client, mint: Mint) -> dict[str, list[str]]:
    """A thread with a message and a wake, to aim at."""
    boss = {"Authorization": f"Bearer {mint.token('boss', Role.OPERATOR, workspace='default')}"}
    client.post(
        "/v1/tokens", json={"agent_id": "alice", "workspace_id": "ws_1"}, headers=boss
    ).raise_for_status()
    mine = {"Authorization": f"Bearer {mint.token('boss', Role.OPERATOR)}"}
    people = [{"agent_id": name, "role": "r"} for name in ("alice", "bob", "boss")]
    thread = client.post("/v1/threads", json={"title": "x", "participants": people}, headers=mine).json()
    posted = client.post(
        f"/v1/threads/{thread['thread_id']}/messages", json={"body": "x"}, headers=mine
    ).json()
    return {"thread_id": [thread["thread_id"]], "wake_id": [wake["wake_id"] for wake in posted["wakes"]]}


def unlimited(folder: Path) -> Path:
    """A policy under which no rate is in the way of so many requests."""
    rate = dict.fromkeys(("agent_per_minute", "agent_burst", "thread_per_minute", "thread_burst"), 1_000_000)
    file = folder / "policy.json"
    file.write_text(json.dumps({f"{kind}_rate": rate for kind in RATES}))
    return file


def known(ids: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """All names in paths of which something is there."""
    there = {"agent_id": ["bob"], "session_id": ["ses_alice"], "scope": ["workspace"], "host": ["local"]}
    return {**ids, **there, "seq": ["1"]}


def tokens_of(mint: Mint) -> Callable[[Role], str]:
    """A token of each role: the participant takes part in the thread."""
    names = {Role.HOST: "host:local", Role.PARTICIPANT: "alice"}
    return lambda role: mint.token(names.get(role, "boss"), role)


def main() -> int:
    """Bent requests for so many seconds, then so many questions by Schemathesis; 1 when an answer was none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long to shoot bent requests")
    parser.add_argument("--requests", type=int, default=20_000, help="how many questions from the OpenAPI")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wb-") as folder, embedded_servers(Path(folder)) as servers:
        settings = Settings(
            data_dir=Path(folder) / "web",
            run_dir=Path(folder) / "run-web",
            database_url=servers.database_url,
            broker_url=servers.broker_url,
            policy_file=unlimited(Path(folder)),
            port=free_port(),
        )
        prepare_database(settings)
        mint = Mint(settings)
        with gunicorn(settings) as client:
            ids = prepare(client, mint)
            ends = time.monotonic() + given.seconds
            counted, bad = bombard(
                client, Gun(given.seed, mint, ids).shots(), lambda: time.monotonic() < ends
            )
            _tell("bent requests", counted, given.seed, bad)
            verdict = conform(
                str(client.base_url).rstrip("/"),
                tokens_of(mint),
                known(ids),
                requests_wanted=given.requests,
                with_seed=given.seed,
            )
            found = [f"{call}: {example}" for (call, _), example in verdict.failures.items()]
            _tell("requests by Schemathesis", verdict.counted, given.seed, found)
    return 1 if bad or found else 0


def _tell(what: str, counted: Counter[int], seed: int, bad: list[str]) -> None:
    print(f"{counted.total()} {what}, seed {seed}: {dict(sorted(counted.items()))}; {len(bad)} wrong answers")
    for line in bad[:20]:
        print(line[:2000])


if __name__ == "__main__":
    sys.exit(main())
