"""Policies over a real database: versions without a gap, audited, in force within a second in every process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import QueuePool

from bridge.adapters.policies import AGE_S_MAX, CachedPolicies
from bridge.bootstrap import Container, build
from bridge.commands.cancel_wake import cancel_wake
from bridge.commands.heartbeat_session import heartbeat_session
from bridge.commands.post_message import Draft, post_message
from bridge.commands.put_policy import PutPolicyResult, put_policy
from bridge.config import Settings
from bridge.core.caller import Caller
from bridge.core.errors import Conflict, IdempotencyConflict, InvalidArgument, Unavailable
from bridge.core.policy import Policy
from bridge.core.states import Evidence, Role, SessionStatus, WakeState
from bridge.db.deps import Deps
from bridge.db.policy_store import policy_loader
from bridge.queries.policies import get_policy, list_policy_versions
from tests.support.audit import broken_history
from tests.support.postgres import Owner
from tests.support.threads import answers, at_once
from tests.support.world import (
    TEST_POLICY,
    WORKSPACE,
    Clock,
    FixedPolicies,
    RecordingGateway,
    World,
    make_caller,
)

Process = Callable[[], Deps]
SRE = make_caller("sre", Role.OPERATOR)


@pytest.fixture
def containers(settings: Settings) -> Iterator[tuple[Container, Container]]:
    """What a web process and a host's worker work with, each by itself."""
    web, worker = build(settings, process="web"), build(settings, process="host")
    yield web, worker
    web.close()
    worker.close()


def put(deps: Deps, numbers: Mapping[str, Any], scope: str = "workspace", **more: object) -> PutPolicyResult:
    return put_policy(deps, SRE, scope, dict(numbers), **({"reason": "r"} | more))  # type: ignore[arg-type]


def test_another_workspace_takes_no_more_of_a_hosts_slots_than_the_home_workspace_lets_it(deps: Deps) -> None:
    load = policy_loader(deps.db, Policy(host_slots=4))
    foreign = make_caller("sre", Role.OPERATOR, workspace="ws_far")
    home = make_caller("sre", Role.OPERATOR, workspace="default")
    for host_slots, granted in ((64, 4), (2, 2)):
        put_policy(deps, foreign, "workspace", {"host_slots": host_slots}, reason="r")
        assert load("ws_far").host_slots == granted
    put_policy(deps, home, "workspace", {"host_slots": 16}, reason="r")
    assert (load("default").host_slots, load("ws_far").host_slots) == (16, 2)


def test_each_change_is_a_version_with_who_when_and_why(world: World, clock: Clock) -> None:
    assert (get_policy(world.deps, SRE, "workspace").version, put(world.deps, {}).changed) == (0, False)
    first = put(world.deps, {"resume": {"tries": 1}, "hosts": ["b"]}, reason="nightly")
    assert first.changed
    assert (first.view.version, first.view.author, first.view.reason) == (1, "sre", "nightly")
    assert first.view.created_at == clock.now
    assert (first.view.policy["resume"]["tries"], first.view.sources["resume.tries"]) == (1, "workspace")
    put(world.deps, {"recheck_s": 7}, "default")
    put(world.deps, {"resume": {"tries": None}, "lease_s": 30})
    found = list_policy_versions(world.deps, SRE, "workspace")
    assert [(v.version, v.policy_version) for v in found] == [(2, 3), (1, 1)]
    assert [(c.name, c.before, c.after) for c in found[0].changes] == [
        ("lease_s", None, 30),
        ("resume.tries", 1, None),
    ]
    assert found[0].set == {"hosts": ["b"], "lease_s": 30.0}
    view = get_policy(world.deps, SRE, "workspace")
    assert (view.version, view.policy_version, view.sources["recheck_s"]) == (2, 3, "default")
    assert "lease_s" not in get_policy(world.deps, SRE, "default").set


def test_what_changes_nothing_stores_nothing(world: World) -> None:
    put(world.deps, {"lease_s": 30})
    for numbers in ({"lease_s": 30}, {"lease_s": 30.0}, {}, {"tick_s": None}):
        again = put(world.deps, numbers, reason="another reason")
        assert (again.changed, again.view.version, again.view.reason) == (False, 1, "r")
    assert world.owner.value("SELECT count(*) FROM policies") == 1
    assert world.owner.value("SELECT count(*) FROM audit_events") == 1


def test_what_is_refused_stores_nothing(world: World) -> None:
    for numbers in ({"nonsense": 1}, {"live": {"tries": 90}}, {"lease_s": 5}):
        with pytest.raises(InvalidArgument):
            put(world.deps, numbers)
    for scope in ("agent:bob", "nonsense"):
        with pytest.raises(InvalidArgument):
            put(world.deps, {"lease_s": 30}, scope)
    assert world.owner.value("SELECT count(*) FROM policies") == 0
    assert world.owner.value("SELECT count(*) FROM audit_events") == 0


def test_a_change_is_audited_with_before_and_after(world: World) -> None:
    put(world.deps, {"lease_s": 30, "live": {"tries": 1}})
    put(world.deps, {"lease_s": None, "live": {"tries": 2}}, reason="why")
    rows = world.owner.rows("SELECT * FROM audit_events ORDER BY n")
    assert [(row["resource_type"], row["resource_id"], row["event"], row["actor"]) for row in rows] == [
        ("policy", "workspace", "policy.changed", "sre")
    ] * 2
    assert rows[1]["before"] == {"version": 1, "set": {"lease_s": 30.0, "live.tries": 1}}
    assert rows[1]["after"] == {"version": 2, "set": {"lease_s": None, "live.tries": 2}, "reason": "why"}
    assert broken_history(world.owner) == []


def test_who_expected_another_version_is_told_which_one_it_is(world: World) -> None:
    put(world.deps, {"lease_s": 30}, expected_version=0)
    with pytest.raises(Conflict, match="workspace is at version 1, not 0"):
        put(world.deps, {"lease_s": 31}, expected_version=0)
    assert put(world.deps, {"lease_s": 31}, expected_version=1).view.version == 2


def test_the_same_key_gives_the_first_answer_whatever_came_since(world: World) -> None:
    first = put(world.deps, {"lease_s": 30}, expected_version=0, key="k")
    put(world.deps, {"lease_s": 31})
    again = put(world.deps, {"lease_s": 30}, expected_version=0, key="k")
    assert (again.view, again.changed, again.replayed) == (first.view, True, True)
    with pytest.raises(IdempotencyConflict):
        put(world.deps, {"lease_s": 32}, expected_version=0, key="k")
    assert world.owner.value("SELECT count(*) FROM policies") == 2


def test_of_16_writers_that_expect_a_version_exactly_one_makes_the_next(
    world: World, process: Process
) -> None:
    webs = [process() for _ in range(4)]
    for version in range(5):
        hands = [
            partial(put, webs[n % 4], {"lease_s": 10 + 16 * version + n}, expected_version=version)
            for n in range(16)
        ]
        found = at_once(hands)
        won = [one for one in found if isinstance(one, PutPolicyResult)]
        assert len(won) == 1
        assert sum(isinstance(one, Conflict) for one in found) == 15
        view = get_policy(world.deps, SRE, "workspace")
        assert (view.version, view.policy["lease_s"]) == (version + 1, won[0].view.policy["lease_s"])
    assert [v.version for v in list_policy_versions(world.deps, SRE, "workspace")] == [5, 4, 3, 2, 1]


def test_writers_who_expect_nothing_lose_nothing_of_each_other(world: World, process: Process) -> None:
    webs = [process() for _ in range(4)]
    names = ["lease_s", "recheck_s", "slow_s", "seat_wait_s", "stall_after_s", "breaker_s_initial"]
    hands = [
        partial(put, webs[n % 4], {name: 20 + n}, ("default", "workspace")[n % 2])
        for n, name in enumerate(names)
    ]
    answers(at_once(hands))
    view = get_policy(world.deps, SRE, "workspace")
    assert {name: view.policy[name] for name in names} == {name: 20 + n for n, name in enumerate(names)}
    assert view.policy_version == len(names)
    rows = world.owner.rows("SELECT scope, version FROM policies ORDER BY created_at")
    for scope in ("default", "workspace"):
        assert [row["version"] for row in rows if row["scope"] == scope] == [1, 2, 3]
    assert broken_history(world.owner) == []


def test_two_changes_that_fit_alone_and_not_together_are_not_both_stored(
    world: World, process: Process
) -> None:
    seed = world.deps.policies.seed
    hands = [
        partial(put, process(), {"live": {"tries": seed.live.tries + 1}}),
        partial(put, process(), {"wake_life_s_max": seed.ladder_s + 1}, "default"),
    ]
    found = at_once(hands)
    refused = [one for one in found if isinstance(one, InvalidArgument)]
    assert len(refused) == 1
    assert get_policy(world.deps, SRE, "workspace").unfit is None


def test_a_policy_is_one_workspaces_own(world: World, owner: Owner) -> None:
    put(world.deps, {"lease_s": 30})
    other = Caller("ws_2", "sre", Role.OPERATOR, "ses_sre")
    assert get_policy(world.deps, other, "workspace").version == 0
    assert list_policy_versions(world.deps, other, "workspace") == []
    assert owner.value("SELECT workspace_id FROM policies") == WORKSPACE


def test_a_change_is_in_force_at_once_here_and_within_a_second_in_another_process(
    containers: tuple[Container, Container],
) -> None:
    web, worker = (container.deps for container in containers)
    assert (
        web.policies.current(WORKSPACE).resume.tries == worker.policies.current(WORKSPACE).resume.tries == 2
    )
    put(web, {"resume": {"tries": 1}})
    changed_at = monotonic()
    assert web.policies.current(WORKSPACE).resume.tries == 1
    pause = threading.Event()
    while (found := worker.policies.current(WORKSPACE)).resume.tries != 1:
        assert monotonic() - changed_at < AGE_S_MAX + 2, (
            "the copy's age is measured below; here, that it ends"
        )
        pause.wait(0.01)
    assert found.version == 1


def test_the_next_decision_about_a_wake_on_its_way_goes_by_the_new_numbers(
    deps: Deps, owner: Owner, gateway: RecordingGateway, clock: Clock
) -> None:
    policies = CachedPolicies(policy_loader(deps.db, TEST_POLICY), TEST_POLICY)
    world = World(replace(deps, policies=policies), owner, gateway)
    world.live("bob")
    wake_id = world.pending(world.thread("alice", "bob"))
    world.waiting(wake_id, Evidence.UNVERIFIED)
    due_at = world.wake(wake_id)["due_at"]
    put(world.deps, {"live": {"tries": 1, "accept_timeout_s": 4}})
    assert world.wake(wake_id)["due_at"] == due_at, "a deadline that has begun stays"
    clock.advance(TEST_POLICY.live.accept_timeout_s)
    assert world.advance(wake_id).wake.state is WakeState.FAILED, "three tries before, one now"
    versions = owner.rows("SELECT policy_version FROM wake_events WHERE wake_id = :w ORDER BY n", w=wake_id)
    assert (versions[0]["policy_version"], versions[-1]["policy_version"]) == (0, 1)


def test_stored_numbers_that_no_longer_fit_do_not_stop_the_bridge(
    settings: Settings, containers: tuple[Container, Container]
) -> None:
    put(containers[0].deps, {"live": {"tries": 20}, "recheck_s": 7})
    path = settings.data_dir / "policy.json"
    path.write_text('{"wake_life_s_max": 800, "recheck_s": 3}')
    other = build(settings.model_copy(update={"policy_file": path}), process="web")
    try:
        assert other.deps.policies.current(WORKSPACE).recheck_s == 3
        assert get_policy(other.deps, SRE, "workspace").unfit
    finally:
        other.close()


def test_nobody_holds_a_connection_while_the_policy_is_asked_for(world: World) -> None:
    """Else, when the copies are too old, all wait for one connection more than there are."""
    held: list[int] = []

    class Watched(FixedPolicies):
        def current(self, workspace_id: str) -> Policy:
            pool = world.deps.db.engine.pool
            assert isinstance(pool, QueuePool)
            held.append(pool.checkedout())
            return super().current(workspace_id)

    deps = replace(world.deps, policies=Watched())
    caller = world.caller("bob")
    heartbeat_session(
        deps, caller, caller.session_id, runtime="pty", resumable=True, status=SessionStatus.ACTIVE
    )
    thread = world.thread("alice", "bob")
    posted = post_message(deps, world.caller("alice"), thread, Draft("x"))
    cancel_wake(deps, world.caller("alice"), posted.wakes[0].wake_id, "not needed")
    put(deps, {"lease_s": 30})
    assert len(held) >= 4
    assert set(held) == {0}


# --- the copy that each process keeps -------------------------------------------------------------------


class Loader:
    """A database that counts its questions, and answers when it is let."""

    def __init__(self) -> None:
        self.asked, self.fails = 0, False
        self.arrived, self.go = threading.Event(), threading.Event()
        self.go.set()

    def __call__(self, workspace_id: str) -> Policy:
        del workspace_id
        self.asked += 1
        mine = self.asked
        self.arrived.set()
        assert self.go.wait(10)
        if self.fails:
            raise Unavailable
        return Policy(version=mine)


@pytest.fixture
def loader() -> Loader:
    return Loader()


def test_a_copy_is_good_for_less_than_a_second(loader: Loader) -> None:
    now = [0.0]
    policies = CachedPolicies(loader, clock=lambda: now[0])
    seen = []
    for now[0] in (0.0, 0.5, 0.999, 1.0, 1.5, 2.0):
        seen.append(policies.current("w").version)
    assert seen == [1, 1, 1, 2, 2, 3]
    policies.forget("w")
    assert policies.current("w").version == 4


def all_ask_while_one_question_is_on_its_way(loader: Loader, count: int) -> list[Policy | Exception]:
    """The database answers when all have asked."""
    came = threading.Semaphore(0)

    def clock() -> float:
        came.release()
        return 0.0

    policies = CachedPolicies(loader, clock=clock)

    def answer() -> None:
        assert all(came.acquire(timeout=10) for _ in range(count))
        loader.go.set()

    loader.go.clear()
    answering = threading.Thread(target=answer)
    answering.start()
    found = at_once([partial(policies.current, "w") for _ in range(count)])
    answering.join(10)
    return found


def test_however_many_ask_one_question_goes_to_the_database(loader: Loader) -> None:
    found = answers(all_ask_while_one_question_is_on_its_way(loader, 32))
    assert {policy.version for policy in found} == {1}
    assert loader.asked == 1


def test_no_answer_is_no_answer_for_all_who_wait_for_it(loader: Loader) -> None:
    loader.fails = True
    found = all_ask_while_one_question_is_on_its_way(loader, 8)
    assert all(isinstance(one, Unavailable) for one in found)


def test_a_question_that_was_on_its_way_during_a_change_is_not_kept(loader: Loader) -> None:
    policies = CachedPolicies(loader, clock=lambda: 0.0)
    loader.go.clear()
    hand = threading.Thread(target=policies.current, args=("w",))
    hand.start()
    assert loader.arrived.wait(10)
    policies.forget("w")
    loader.go.set()
    hand.join(10)
    assert policies.current("w").version == 2


def test_what_brought_no_answer_is_asked_again_by_the_next(loader: Loader) -> None:
    policies = CachedPolicies(loader, clock=lambda: 0.0)
    loader.fails = True
    with pytest.raises(Unavailable):
        policies.current("w")
    with pytest.raises(Unavailable):
        policies.current("w")
    loader.fails = False
    assert policies.current("w").version == 3
