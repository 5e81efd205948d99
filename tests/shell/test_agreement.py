"""The fast post decides without the core: for any posts, it leaves what the slow one, through the core, leaves."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.commands import post_message as posting
from bridge.commands.post_message import Draft
from bridge.core import thread as core
from bridge.core.caller import Caller
from bridge.core.errors import BridgeError
from bridge.core.policy import Policy
from bridge.core.states import MessageKind, ThreadStatus, ThreadType
from bridge.db.deps import Deps
from bridge.db.thread_store import lock_thread
from tests.support.world import TEST_POLICY, Clock, FixedPolicies, World

PEOPLE = ["alice", "bob", "carol", "olivia", "mallory"]
POLICY = dataclasses.replace(TEST_POLICY, turns_max=2, fan_out_max=2)
AGREED: dict[str, str] = {
    "threads": "type, status, last_seq, participants, turns, last_sender, progress_at, open_findings, escalated, "
    "stalled, last_commit, blocked_reason, audit_n, updated_at",
    "messages": "seq, schema_version, kind, event, body, metadata, sender_agent_id, sender_session_id, in_reply_to, "
    "to_agents, to_role, urgent, request_id, traceparent, created_at",
    "wakes": "agent_id, host, state, reason, target_seq, offered_seq, due_at, rung_until, dies_at, since, fence, "
    "policy_version, cancel, why, version, created_at, updated_at",
    "notices": "audience, replace(cause, thread_id, 'T') AS cause, text, count, last_at",
}

drafts = st.builds(
    Draft,
    body=st.sampled_from(["hello", "ü", ""]),
    metadata=st.sampled_from([None, {}, {"a": 1}]),
    to=st.sampled_from(
        [None, None, None, (), ("bob",), ("alice", "bob"), ("olivia",), ("nobody",), ("bob", "bob")]
    ),
    to_role=st.sampled_from([None, None, None, "reviewer", "nobody"]),
    urgent=st.booleans(),
    delay_s=st.sampled_from([0.0, 0.0, 5.0, 600.0]),
)
posts = st.lists(
    st.tuples(
        st.sampled_from(PEOPLE), drafts, st.sampled_from([None, "k1", "k2"]), st.sampled_from([0, 1, 70])
    ),
    min_size=1,
    max_size=14,
)


def say(
    how: str, deps: Deps, caller: Caller, thread: str, draft: Draft, key: str | None, policy: Policy
) -> str | dict[str, Any]:
    """One post, through the guard or past it, without what follows its commit; what the caller is told, ids apart."""
    try:
        quick = posting._fast(deps, caller, thread, draft, key, policy) if how == "fast" else None
        raw = quick if quick is not None else posting._slow(deps, caller, thread, draft, key, policy)
        answer = dataclasses.asdict(posting._posted(raw))
    except BridgeError as error:
        return error.code
    answer.pop("message_id")
    answer["wakes"] = [(wake["agent_id"], wake["state"]) for wake in answer["wakes"]]
    return answer


def left(world: World, thread: str) -> dict[str, list[dict[str, Any]]]:
    """What stands in the database of this thread, ids apart."""
    order = {"threads": "1", "messages": "seq", "wakes": "agent_id, created_at, state", "notices": "1, 2"}
    found = {
        table: world.owner.rows(
            f"SELECT {columns} FROM {table} WHERE thread_id = :t ORDER BY {order[table]}",  # noqa: S608  constants
            t=thread,
        )
        for table, columns in AGREED.items()
    }
    steps = (
        "SELECT e.event, e.to_state, e.reason, e.why, e.at FROM wake_events e JOIN wakes w USING (wake_id) "
    )
    found["steps"] = world.owner.rows(
        steps + "WHERE w.thread_id = :t ORDER BY w.agent_id, w.created_at, e.n", t=thread
    )
    return found


@pytest.fixture
def prepared(world: World, clock: Clock, policies: FixedPolicies) -> World:
    """Agents of all sorts: one human, one behind its breaker, one who listens."""
    policies.policy = POLICY
    world.agent("olivia", human=True)
    for name in PEOPLE:
        world.agent(name)
    world.owner.run("UPDATE agents SET probe_at = :at WHERE agent_id = 'carol'", at=clock.advance(40))
    world.owner.run("UPDATE agents SET listening_until = :at WHERE agent_id = 'bob'", at=clock.advance(60))
    clock.advance(-80)
    return world


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(posts=posts, kind=st.sampled_from(list(ThreadType)))
def test_fast_and_slow_leave_the_same(
    prepared: World, clock: Clock, posts: list[tuple[str, Draft, str | None, int]], kind: ThreadType
) -> None:
    world, started = prepared, clock.now
    told, stands = [], []
    for how in ("fast", "slow"):
        clock.set(started)
        thread = world.thread("alice", "olivia", kind=kind, bob="reviewer", carol="executor")
        said = []
        for sender, draft, key, seconds in posts:
            clock.advance(seconds)
            said.append(say(how, world.deps, world.caller(sender), thread, draft, key, POLICY))
        told.append(said)
        stands.append(left(world, thread))
    clock.set(started)
    assert told[0] == told[1]
    assert stands[0] == stands[1]


TAKEN = [
    (Draft("m"), True),
    (Draft("m", to=("bob",)), True),
    (Draft("m", to_role="reviewer", urgent=True, delay_s=5.0), True),
    (Draft("m", to=("nobody",)), False),
    (Draft("m", to_role="nobody"), False),
]


@pytest.mark.parametrize(("draft", "taken"), TAKEN)
def test_the_fast_way_is_taken_where_nothing_is_to_be_judged(
    prepared: World, draft: Draft, taken: bool
) -> None:
    world = prepared
    thread = world.thread("alice", "olivia", bob="reviewer")
    answer = posting._fast(world.deps, world.caller("alice"), thread, draft, None, POLICY)
    assert (answer is not None) is taken
    assert world.owner.value("SELECT count(*) FROM messages") == taken


def stored(world: World, thread: str) -> core.Thread:
    """The thread as the core knows it."""
    with world.deps.unit(world.workspace) as uow:
        return lock_thread(uow, thread).thread


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(senders=st.lists(st.sampled_from(["alice", "bob", "carol", "olivia"]), min_size=1, max_size=12))
def test_a_posts_counters_are_what_the_core_says(prepared: World, clock: Clock, senders: list[str]) -> None:
    world = prepared
    thread = world.thread("alice", "bob", "carol", "olivia")
    expected = stored(world, thread)
    for sender in senders:
        clock.advance(1)
        said = core.Posted(sender=sender, kind=MessageKind.CHAT, by_human=sender == "olivia")
        expected = core.decide(expected, said, POLICY, clock.now).state
        world.post(thread, sender, to=())
        found = stored(world, thread)
        assert found == expected
        if found.status is ThreadStatus.BLOCKED:
            break
