"""Many hands at once: sequences, idempotency, cursors, claims and attempts hold under any concurrency."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest

from bridge.commands.advance_wake import advance_wake
from bridge.commands.move_cursor import move_cursor
from bridge.commands.post_message import Draft, Posted, post_message
from bridge.commands.touch_wake import Begun, touch_wake
from bridge.core.errors import Conflict, CursorOutOfRange, FenceRejected, IdempotencyConflict
from bridge.core.states import MessageKind
from bridge.core.wake_events import Wake
from bridge.db.deps import Deps
from tests.support.audit import broken_history
from tests.support.threads import answers, at_once
from tests.support.world import TEST_POLICY, WORKSPACE, FixedPolicies, World

Process = Callable[[], Deps]
PEOPLE = ["alice", "bob", "carol", "dave"]


@pytest.mark.parametrize(
    ("posts", "turns_max"), [(3_000, 4_000), (600, 20)], ids=["fast", "blocked on the way"]
)
def test_32_writers_of_one_thread_make_a_sequence_without_gap_or_double(
    world: World, process: Process, policies: FixedPolicies, posts: int, turns_max: int
) -> None:
    policies.policy = dataclasses.replace(TEST_POLICY, turns_max=turns_max)
    thread = world.thread(*PEOPLE)
    webs = [process(), process()]
    each, rest = divmod(posts, 32)

    def write(number: int) -> list[Posted]:
        web, sender = webs[number % 2], world.caller(PEOPLE[number % 4])
        return [post_message(web, sender, thread, Draft("m")) for _ in range(each + (number < rest))]

    posted = [
        one for some in answers(at_once([partial(write, number) for number in range(32)])) for one in some
    ]
    assert sorted(post.seq for post in posted) == list(range(1, posts + 1))
    rows = world.owner.rows("SELECT seq, message_id, created_at FROM messages ORDER BY seq")
    assert [row["seq"] for row in rows] == list(range(1, posts + 1))
    assert {row["message_id"] for row in rows} == {post.message_id for post in posted}
    times = [row["created_at"] for row in rows]
    assert times == sorted(times), "the order of the sequence is the order of time"
    row = world.owner.one("SELECT last_seq, status FROM threads")
    assert (row["last_seq"], row["status"]) == (posts, "active" if turns_max > posts else "blocked")
    assert broken_history(world.owner) == []
    wakes = world.owner.rows("SELECT agent_id, state, target_seq FROM wakes ORDER BY agent_id")
    assert [wake["agent_id"] for wake in wakes] == PEOPLE, "later messages raise the target, they add none"
    if turns_max > posts:
        last = {name: max(p.seq for p in posted if name in [w.agent_id for w in p.wakes]) for name in PEOPLE}
        assert {wake["agent_id"]: wake["target_seq"] for wake in wakes} == last
    else:
        assert {wake["state"] for wake in wakes} == {"cancelled"}
        assert (
            world.owner.value("SELECT count(*) FROM notices WHERE audience = '*operators' AND count = 1") == 1
        )
        assert world.owner.value("SELECT count(*) FROM audit_events WHERE event = 'thread.blocked'") == 1


DRAFTS = {
    "fast": Draft("the same"),
    "slow": Draft("the same", last_read_seq=0),
    "event": Draft("the same", kind=MessageKind.EVENT, event={"type": "decision", "text": "t"}),
}


@pytest.mark.parametrize("draft", DRAFTS.values(), ids=DRAFTS.keys())
def test_the_same_key_from_16_writers_gives_one_message_and_16_equal_answers(
    world: World, process: Process, draft: Draft
) -> None:
    thread = world.thread("alice", "bob")
    webs = [process() for _ in range(4)]
    alice = world.caller("alice")
    hands = [partial(post_message, webs[number % 4], alice, thread, draft, "key") for number in range(16)]
    found = answers(at_once(hands))
    assert len({dataclasses.replace(answer, replayed=False) for answer in found}) == 1
    assert sorted(answer.replayed for answer in found) == [False] + [True] * 15
    assert world.owner.value("SELECT count(*) FROM messages") == 1
    assert world.owner.value("SELECT count(*) FROM wakes") == 1


@pytest.mark.parametrize("draft", DRAFTS.values(), ids=DRAFTS.keys())
def test_the_same_key_with_another_payload_is_a_conflict_and_uses_no_seq(
    world: World, process: Process, draft: Draft
) -> None:
    thread = world.thread("alice", "bob")
    web, alice = process(), world.caller("alice")
    drafts = [dataclasses.replace(draft, body=f"body {number % 2}") for number in range(8)]
    found = at_once([partial(post_message, web, alice, thread, one, "key") for one in drafts])
    posted = [one for one in found if isinstance(one, Posted)]
    refused = [one for one in found if isinstance(one, IdempotencyConflict)]
    assert (len(posted), len(refused)) == (4, 4)
    assert post_message(web, alice, thread, Draft("another")).seq == 2
    assert post_message(web, world.caller("bob"), thread, draft, "key").seq == 3, "keys are each agent's own"


def test_six_concurrent_cursor_moves_in_200_rounds_never_go_backwards(world: World, process: Process) -> None:
    thread = world.thread("alice", "bob")
    world.owner.run("UPDATE threads SET last_seq = 1000")
    world.owner.run("CREATE TABLE moved (n bigserial, was bigint, is_now bigint)")
    world.owner.run(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS "
        "$$ BEGIN INSERT INTO moved (was, is_now) VALUES (old.last_read_seq, new.last_read_seq); RETURN new; END $$"
    )
    world.owner.run("CREATE TRIGGER note AFTER UPDATE ON participants FOR EACH ROW EXECUTE FUNCTION note()")
    web, bob = process(), world.caller("bob")
    shuffled = random.Random(7)
    targets = [[min(1000, 5 * turn + shuffled.randrange(20)) for turn in range(200)] for _ in range(6)]

    def move(hand: int) -> int:
        furthest = 0
        for target in targets[hand]:
            try:
                seen = move_cursor(web, bob, thread, target).last_read_seq
            except CursorOutOfRange:
                continue
            assert seen >= furthest
            furthest = seen
        return furthest

    answers(at_once([partial(move, hand) for hand in range(6)]))
    moves = world.owner.rows("SELECT was, is_now FROM moved ORDER BY n")
    assert moves
    assert all(move["is_now"] > move["was"] for move in moves)
    assert all(after["was"] == before["is_now"] for before, after in pairwise(moves))
    cursor = world.owner.value("SELECT last_read_seq FROM participants WHERE agent_id = 'bob'")
    assert cursor == max(max(row) for row in targets)


def test_of_eight_hands_that_claim_one_wake_exactly_one_probes(world: World, process: Process) -> None:
    world.live("bob")
    thread = world.thread("alice", "bob")
    hosts = [process() for _ in range(2)]
    for turn in range(10):
        wake_id = world.post(thread).wakes[0].wake_id
        found = answers(
            at_once([partial(advance_wake, hosts[n % 2], WORKSPACE, wake_id, f"hand-{n}") for n in range(8)])
        )
        probes = [one for one in found if one.probe is not None]
        assert len(probes) == 1
        assert sum(one.early for one in found) == 7
        row = world.wake(wake_id)
        assert (row["state"], row["fence"]) == ("delivering", 1)
        assert row["worker"] == probes[0].wake.worker
        move_cursor(world.deps, world.caller("bob"), thread, turn + 1)


def test_two_attempts_are_never_in_flight_in_one_session(world: World, process: Process) -> None:
    world.live("bob")
    threads = [world.thread("alice", "bob") for _ in range(6)]
    hosts = [process(), process()]
    for turn in range(8):
        wakes = [world.pending(thread) for thread in threads]
        fences = {wake: world.advance(wake).wake.fence for wake in wakes}
        hands = [
            partial(touch_wake, hosts[n % 2], WORKSPACE, wake, fence=fences[wake])
            for n, wake in enumerate(wakes)
        ]
        found = answers(at_once(hands))
        begun = [one for one in found if isinstance(one, Begun)]
        assert len(begun) == 1
        waits = [one for one in found if isinstance(one, Wake)]
        assert len(waits) == 5
        assert {(wake.state.value, wake.reason.value) for wake in waits} == {("pending", "slot")}
        assert world.owner.value("SELECT count(*) FROM attempts WHERE closed_at IS NULL") == 1
        world.settle(begun[0])
        for thread in threads:
            move_cursor(world.deps, world.caller("bob"), thread, turn + 1)
        assert world.owner.value("SELECT count(*) FROM attempts WHERE closed_at IS NULL") == 0


def test_of_two_hands_that_report_one_attempt_the_second_is_refused(world: World) -> None:
    world.live("bob")
    begun = world.touching(world.pending(world.thread("alice", "bob")))
    found = at_once([partial(world.settle, begun) for _ in range(4)])
    refused = [one for one in found if isinstance(one, FenceRejected)]
    assert len(refused) == 3
    assert world.wake(begun.wake.wake_id)["tried_live"] == 1


def test_read_and_handed_over_at_once_always_ends_acked(
    world: World, process: Process, policies: FixedPolicies
) -> None:
    policies.policy = dataclasses.replace(TEST_POLICY, wakes_per_minute_max=100)
    world.live("bob")
    thread = world.thread("alice", "bob")
    web = process()
    for turn in range(1, 21):
        begun = world.touching(world.pending(thread))
        settle: Callable[[], object] = partial(world.settle, begun)
        read: Callable[[], object] = partial(move_cursor, web, world.caller("bob"), thread, turn)
        found = at_once([settle, read])
        assert [one for one in found if isinstance(one, Exception) and not isinstance(one, Conflict)] == []
        assert world.wake(begun.wake.wake_id)["state"] == "acked", "whoever comes second sees the first"
    assert broken_history(world.owner) == []
