"""Lists of threads: for whom, which filters, and how far one page looks."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.core.caller import Caller
from bridge.core.states import Role, ThreadStatus, ThreadType
from bridge.queries.threads import TITLES_MAX, list_threads
from tests.support.postgres import Owner
from tests.support.world import Clock, World


@pytest.fixture
def threads(world: World, clock: Clock, owner: Owner) -> list[str]:
    """Five, a second apart: of alice and bob, alice, bob, carol and alice, carol."""
    made = []
    for n, people in enumerate((("alice", "bob"), ("alice",), ("bob",), ("carol", "alice"), ("carol",))):
        kind = ThreadType.INCIDENT if n == 2 else ThreadType.WORKFLOW
        made.append(world.thread(*people, kind=kind))
        owner.run("UPDATE threads SET title = :title WHERE thread_id = :id", title=f"Build {n}%", id=made[-1])
        clock.advance(1)
    owner.run("UPDATE threads SET status = 'closed' WHERE thread_id = :id", id=made[1])
    return made


def listed(world: World, caller: Caller, **filters: Any) -> list[str]:  # noqa: ANN401
    return [item.thread_id for item in list_threads(world.deps, caller, **filters).items]


def test_participants_see_their_own_and_others_the_workspaces(threads: list[str], world: World) -> None:
    th_0, th_1, th_2, th_3, th_4 = threads
    assert listed(world, world.caller("alice")) == [th_3, th_1, th_0]
    assert listed(world, world.caller("zoe")) == []
    for role in (Role.COORDINATOR, Role.OPERATOR, Role.AUDITOR):
        assert listed(world, world.caller("zoe", role)) == [th_4, th_3, th_2, th_1, th_0]


def test_filters_hold_together_and_for_every_role(threads: list[str], world: World) -> None:
    th_0, th_1, th_2, th_3, th_4 = threads
    alice, olivia = world.caller("alice"), world.caller("olivia", Role.OPERATOR)
    assert listed(world, olivia, participant="carol") == [th_4, th_3]
    assert listed(world, alice, participant="carol") == [th_3]
    assert listed(world, alice, participant="alice") == [th_3, th_1, th_0]
    assert listed(world, olivia, status=ThreadStatus.CLOSED) == [th_1]
    assert listed(world, olivia, type=ThreadType.INCIDENT) == [th_2]
    assert listed(world, alice, type=ThreadType.INCIDENT) == []
    assert listed(world, olivia, q="bUILD 2") == [th_2]
    assert listed(world, alice, q="build 2") == []
    assert listed(world, olivia, q="2%", participant="bob", status=ThreadStatus.ACTIVE) == [th_2]
    assert listed(world, olivia, q="_") == []


@pytest.mark.parametrize("role", [Role.PARTICIPANT, Role.OPERATOR])
def test_pages_give_each_thread_once(threads: list[str], world: World, role: Role) -> None:
    caller, after, seen = world.caller("alice", role), None, []
    for _ in range(10):
        page = list_threads(world.deps, caller, limit=2, after=after, q="build")
        seen += [item.thread_id for item in page.items]
        after = page.mark
        if after is None:
            break
    expected = [threads[3], threads[1], threads[0]] if role is Role.PARTICIPANT else list(reversed(threads))
    assert seen == expected


def test_a_page_looks_at_so_many_titles_and_then_says_where_to_go_on(
    threads: list[str], world: World, owner: Owner
) -> None:
    olivia = world.caller("olivia", Role.OPERATOR)
    owner.run(
        "INSERT INTO threads (thread_id, workspace_id, title, type, status, progress_at, created_by, created_at, "
        "updated_at) SELECT 'th_x' || n, :ws, 'other', 'workflow', 'active', bridge_now(), 'a', "
        "bridge_now() + n * interval '1 ms', bridge_now() FROM generate_series(1, :more) n",
        ws=world.workspace,
        more=TITLES_MAX,
    )
    first = list_threads(world.deps, olivia, q="build 0")
    assert first.items == ()
    assert first.mark is not None
    second = list_threads(world.deps, olivia, q="build 0", after=first.mark)
    assert [item.thread_id for item in second.items] == [threads[0]]
    assert second.mark is None
