"""Limits of calls: by agent and by thread, shared by all processes, and open when their store is away."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis
from flask import Flask

from bridge.adapters.limits import FAILURES_MAX, Limits
from bridge.adapters.metrics import rate_limit_store_failures, rate_limited
from bridge.adapters.pubsub import redis_url
from bridge.core.limits import Bucket, CallRates, Rate
from bridge.core.states import Role
from bridge.stack.embedded import private_dir
from bridge.stack.servers import EmbeddedServers
from tests.support.web import Api
from tests.support.world import FixedPolicies
from web.app import load_routes

Apis = Callable[..., Api]
SLOW = Rate(per_minute=1, burst=3)
FEW = CallRates(agent_per_minute=1, agent_burst=3, thread_per_minute=1, thread_burst=4)


class Hand:
    """A clock that is moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> Iterator[EmbeddedServers]:
    """A Valkey of this test's own, to be stopped and emptied."""
    with TemporaryDirectory(prefix="wb-") as folder:
        servers = EmbeddedServers(Path(folder))
        private_dir(servers.settings.data_dir)
        private_dir(servers.settings.run_dir)
        servers.start_one("broker")
        servers.wait_for("broker")
        yield servers
        servers.stop()


def client(store: EmbeddedServers) -> redis.Redis:
    return redis.Redis.from_url(redis_url(store.broker_url) or "")


def passed(limits: Limits, calls: int, key: str = "ws_1/posts/agent/alice", rate: Rate = SLOW) -> int:
    return sum(not limits.take(key, rate).is_refused for _ in range(calls))


def failures() -> float:
    return rate_limit_store_failures._value.get()  # type: ignore[no-any-return]


@pytest.fixture
def thread_id(api: Apis) -> str:
    people = [{"agent_id": name} for name in ("alice", "bob")]
    made = api("boss", Role.OPERATOR).post("/v1/threads", {"title": "x", "participants": people}).json
    assert made is not None
    return str(made["thread_id"])


def test_two_processes_count_together(store: EmbeddedServers) -> None:
    one, other = Limits(store.broker_url), Limits(store.broker_url)
    assert passed(one, 2) + passed(other, 5) == SLOW.burst
    assert passed(one, 5) == 0
    assert passed(other, 3, key="ws_1/posts/agent/bob") == SLOW.burst


def test_a_bucket_in_the_store_bears_our_prefix_and_expires_when_it_is_full(store: EmbeddedServers) -> None:
    passed(Limits(store.broker_url), 3)
    with client(store) as asked:
        (key,) = asked.keys()
        assert key.startswith(b"wakebridge:limits:")
        assert 0 < asked.ttl(key) <= SLOW.fill_s + 1


def test_an_emptied_store_fills_the_buckets_and_nothing_else(store: EmbeddedServers) -> None:
    one, other = Limits(store.broker_url), Limits(store.broker_url)
    assert passed(one, 9) == SLOW.burst
    with client(store) as asked:
        asked.flushall()
    assert passed(other, 9) == SLOW.burst
    assert passed(one, 9) == 0  # it knows by itself what it let through


@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL], ids=["frozen", "dead"])
def test_without_its_store_calls_go_on_by_the_local_count_and_few_of_them_ask(
    store: EmbeddedServers, fault: signal.Signals
) -> None:
    clock = Hand()
    limits = Limits(store.broker_url, clock=clock)
    rate = Rate(per_minute=1, burst=50)
    assert passed(limits, 10, rate=rate) == 10
    store.signal("broker", fault)
    before = failures()
    assert passed(limits, 100, rate=rate) == 40
    assert failures() - before == FAILURES_MAX
    clock.now += 5.0  # then one asks again, and only one
    assert passed(limits, 9, key="another", rate=rate) == 9
    assert failures() - before == FAILURES_MAX + 1


def test_a_store_that_is_back_is_asked_again(store: EmbeddedServers) -> None:
    clock = Hand()
    one, other = Limits(store.broker_url, clock=clock), Limits(store.broker_url)
    store.signal("broker", signal.SIGSTOP)
    assert passed(one, 2) == 2
    store.signal("broker", signal.SIGCONT)
    with client(store) as asked:
        asked.ping()
        asked.flushall()
    assert passed(other, 9) == SLOW.burst
    clock.now += 5.0
    assert passed(one, 1) == 0  # its own count has one left, all together have none


def test_a_broker_that_is_no_redis_leaves_each_process_its_own_count() -> None:
    before = failures()
    assert passed(Limits("amqp://nowhere"), 9) == SLOW.burst
    assert failures() == before


def test_an_agent_over_its_limit_is_told_how_long_to_wait_and_others_go_on(
    api: Apis, policies: FixedPolicies, thread_id: str
) -> None:
    policies.policy = replace(policies.policy, posts_rate=replace(FEW, thread_burst=100))
    path = f"/v1/threads/{thread_id}/messages"
    first = api("alice").post(path, {"body": "x"})
    assert first.status_code == 201
    assert first.headers["RateLimit-Policy"] == '"posts-agent";q=3;w=180, "posts-thread";q=100;w=6000'
    assert first.headers["RateLimit"] == '"posts-agent";r=2;t=60, "posts-thread";r=99;t=60'
    assert [api("alice").post(path, {"body": "x"}).status_code for _ in range(2)] == [201, 201]
    before = rate_limited.labels("posts")._value.get()
    refused = api("alice").post(path, {"body": "x"})
    assert refused.status_code == 429
    assert refused.content_type == "application/problem+json"
    assert refused.json is not None
    assert refused.json["code"] == "RATE_LIMITED"
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit"].startswith('"posts-agent";r=0;t=')
    assert rate_limited.labels("posts")._value.get() == before + 1
    assert api("bob").post(path, {"body": "x"}).status_code == 201
    assert api("alice").get(path).status_code == 200  # reads are another bucket


def test_a_thread_over_its_limit_refuses_whoever_posts_there_and_nowhere_else(
    api: Apis, policies: FixedPolicies, thread_id: str
) -> None:
    people = [{"agent_id": "alice"}, {"agent_id": "bob"}]
    other = api("boss", Role.OPERATOR).post("/v1/threads", {"title": "y", "participants": people}).json
    assert other is not None
    policies.policy = replace(policies.policy, posts_rate=replace(FEW, agent_burst=100))
    path = f"/v1/threads/{thread_id}/messages"
    for agent in ("alice", "bob") * 2:
        assert api(agent).post(path, {"body": "x"}).status_code == 201
    refused = api("alice").post(path, {"body": "x"})
    assert (refused.status_code, "thread" in refused.get_json()["detail"]) == (429, True)
    assert api("alice").post(f"/v1/threads/{other['thread_id']}/messages", {"body": "x"}).status_code == 201


def test_workspaces_share_no_bucket(api: Apis, policies: FixedPolicies) -> None:
    policies.policy = replace(policies.policy, reads_rate=FEW)
    here, there = api("alice"), api("alice", workspace="ws_2")
    assert [here.get("/v1/inbox").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert there.get("/v1/inbox").status_code == 200


def test_what_is_over_the_limit_is_not_even_parsed(
    api: Apis, app: Flask, policies: FixedPolicies, thread_id: str
) -> None:
    policies.policy = replace(policies.policy, posts_rate=FEW)
    path = f"/v1/threads/{thread_id}/messages"
    codes = [
        api("alice").call("POST", path, data=b"{", content_type="application/json").status_code
        for _ in range(5)
    ]
    assert codes == [400, 400, 400, 429, 429]
    assert app.test_client().post(path, data=b"{").status_code == 401  # nobody's bucket


def test_a_changed_policy_holds_for_the_next_call(api: Apis, policies: FixedPolicies) -> None:
    usual = policies.policy
    policies.policy = replace(usual, reads_rate=FEW)
    while api("alice").get("/v1/inbox").status_code == 200:
        pass
    policies.policy = replace(usual, reads_rate=replace(FEW, agent_burst=1000))
    assert api("alice").get("/v1/inbox").status_code == 200


def test_reads_posts_and_wakes_have_their_bucket_and_what_stops_things_has_none() -> None:
    routes = {f"{route.method} {route.path}": route.bucket for route in load_routes()}
    assert all(bucket is Bucket.READS for name, bucket in routes.items() if name.startswith("GET "))
    assert routes["POST /v1/threads/{thread_id}/messages"] is Bucket.POSTS
    assert {name for name, bucket in routes.items() if bucket is Bucket.WAKES} == {
        "POST /v1/threads/{thread_id}/wakes",
        "POST /v1/wakes/{wake_id}/force",
        "POST /v1/wakes/{wake_id}/retry",
    }
    for name in ("POST /v1/pause", "POST /v1/wakes/{wake_id}/cancel", "PUT /v1/sessions/{session_id}"):
        assert routes[name] is None
