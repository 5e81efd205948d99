"""Search over the real database: what is found, for whom, in which order, and what it costs."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bridge.core.caller import Caller
from bridge.core.errors import Forbidden
from bridge.core.states import MessageKind, Role
from bridge.queries.search import FoundMessage, search_messages
from tests.support.postgres import Owner
from tests.support.world import Clock, World

THREADS_ASKED_MAX = 200
"""A caller with more threads is asked about row by row, not through the index."""


def found(world: World, q: str, caller: Caller | None = None, **more: object) -> list[int]:
    page = search_messages(world.deps, caller or world.caller("alice"), q, **more)  # type: ignore[arg-type]
    return [item.seq for item in page.items]


@pytest.fixture
def thread(world: World, clock: Clock) -> str:
    """Of alice and bob: five messages, a second apart."""
    thread = world.thread("alice", "bob")
    for sender, body in (
        ("alice", "The build is broken in bridge/core/wake.py"),
        ("bob", "Which build? The nightly one—or “main”?"),
        ("alice", "wake_at is never set; List<Wake> is empty"),
        ("bob", "py bridge core"),
    ):
        world.post(thread, sender, body)
        clock.advance(1)
    fix = {"type": "fix_pushed", "commit": "0badcafe", "text": "sets the time"}
    world.post(thread, "bob", "", kind=MessageKind.EVENT, event=fix)
    return thread


@pytest.mark.parametrize(
    ("q", "seqs"),
    [
        ("build", [2, 1]),
        ("BUILD -nightly", [1]),
        ("nightly or empty", [3, 2]),
        ('"build is broken"', [1]),
        ('"broken is build"', []),
        ("wake.py", [1]),
        ("wake", [3, 1]),
        ("main", [2]),
        ("one", [2]),
        ("List", [3]),
        ("0badcafe", [5]),
        ("sets the time", [5]),
        ("bridge core", [4, 1]),
        ("nowhere", []),
    ],
)
def test_words_phrases_paths_and_events_are_found_the_newest_first(
    thread: str, world: World, q: str, seqs: list[int]
) -> None:
    assert thread
    assert found(world, q) == seqs


def test_what_is_found_shows_where_it_is_and_why(thread: str, world: World) -> None:
    (item,) = search_messages(world.deps, world.caller("bob"), "broken").items
    assert isinstance(item, FoundMessage)
    assert (item.thread_id, item.title, item.seq, item.sender_agent_id) == (thread, "t", 1, "alice")
    assert [item.snippet[start:end] for start, end in item.marks] == ["broken"]


def test_filters_narrow_it(thread: str, world: World, clock: Clock) -> None:
    q = "build or wake or py or time"
    assert found(world, q) == [5, 4, 3, 2, 1]
    assert found(world, q, sender="bob") == [5, 4, 2]
    assert found(world, q, kind="event") == [5]
    (second,) = search_messages(world.deps, world.caller("alice"), "nightly").items
    assert found(world, q, since=second.created_at) == [5, 4, 3, 2]
    assert found(world, q, until=second.created_at) == [1]
    assert found(world, q, thread=thread) == [5, 4, 3, 2, 1]
    assert found(world, q, thread="th_other") == []
    assert clock.now > second.created_at


def test_pages_give_each_message_once(thread: str, world: World) -> None:
    other = world.thread("alice")
    for _ in range(3):
        world.post(other, "alice", "the same build")  # in the same moment
    seen: list[tuple[str, int]] = []
    after = None
    for _ in range(10):
        page = search_messages(world.deps, world.caller("alice"), "build", limit=2, after=after)
        seen += [(item.thread_id, item.seq) for item in page.items]
        after = page.mark
        if after is None:
            break
    assert sorted(seen) == sorted([(thread, 1), (thread, 2), (other, 1), (other, 2), (other, 3)])


def test_participants_find_their_own_threads_and_others_the_workspace(
    thread: str, world: World, owner: Owner
) -> None:
    assert thread
    mine = world.thread("carol")
    world.post(mine, "carol", "my build")
    assert found(world, "build", world.caller("carol")) == [1]
    assert found(world, "build", world.caller("zoe")) == []
    for role in (Role.COORDINATOR, Role.OPERATOR, Role.AUDITOR):
        assert found(world, "build", world.caller("zoe", role)) == [1, 2, 1]
    with pytest.raises(Forbidden):
        found(world, "build", world.caller("host:local", Role.HOST))
    owner.run("DELETE FROM participants WHERE agent_id = 'bob'")
    assert found(world, "build", world.caller("bob")) == []


def test_whoever_has_very_many_threads_finds_the_same(thread: str, world: World, owner: Owner) -> None:
    owner.run(
        "INSERT INTO threads (thread_id, workspace_id, title, type, status, progress_at, created_by, created_at, "
        "updated_at) SELECT 'th_' || n, :ws, 't', 'workflow', 'active', bridge_now(), 'alice', bridge_now(), "
        "bridge_now() FROM generate_series(1000, :last) n",
        ws=world.workspace,
        last=1000 + THREADS_ASKED_MAX,
    )
    owner.run(
        "INSERT INTO participants (thread_id, agent_id, workspace_id, joined_at) "
        "SELECT thread_id, 'alice', workspace_id, bridge_now() FROM threads ON CONFLICT DO NOTHING"
    )
    world.post(world.thread("carol"), "carol", "not alice's build")
    assert found(world, "build") == [2, 1]
    assert thread


def test_another_workspaces_messages_are_found_by_nobody_whatever_is_asked(
    thread: str, world: World, owner: Owner
) -> None:
    foreign = World(world.deps, owner, world.gateway, workspace="ws_2")
    other = foreign.thread("alice")
    foreign.post(other, "alice", "foreign build w=ws_1")
    everything = [world.caller("olivia", Role.OPERATOR), world.caller("alice")]
    for caller in everything:
        assert found(world, "foreign", caller) == []
        assert found(world, "build", caller, thread=other) == []
        assert found(world, 'ws_1 or "w=ws_2" or build', caller) == [2, 1]
    assert thread
    with owner.engine.connect() as connection, connection.begin():
        connection.execute(text("SET LOCAL ROLE wakebridge_app"))
        ask = text(
            "SELECT count(*) FROM bridge_search('build', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 50)"
        )
        assert connection.execute(ask).scalar_one() == 0  # no workspace: nothing
        connection.execute(text("SELECT set_config('app.workspace', 'ws_2', true)"))
        assert connection.execute(ask).scalar_one() == 1


def test_the_function_reads_as_a_role_that_can_do_nothing_else(owner: Owner) -> None:
    row = owner.one(
        "SELECT prosecdef, proconfig, r.rolname, r.rolsuper OR r.rolbypassrls OR r.rolcanlogin AS strong, "
        "has_function_privilege('wakebridge_keeper', p.oid, 'EXECUTE') AS keepers "
        "FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner WHERE proname = 'bridge_search'"
    )
    assert (row["prosecdef"], row["rolname"], row["strong"], row["keepers"]) == (
        True,
        "wakebridge_search",
        False,
        False,
    )
    assert "search_path=pg_catalog, pg_temp" in row["proconfig"]
    allowed = owner.rows(
        "SELECT c.relname, privilege_type FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) "
        "WHERE grantee = 'wakebridge_search'::regrole"
    )
    assert allowed == []  # columns alone
    columns = owner.rows(
        "SELECT DISTINCT table_name, privilege_type FROM information_schema.column_privileges "
        "WHERE grantee = 'wakebridge_search' ORDER BY 1"
    )
    assert [tuple(row.values()) for row in columns] == [
        ("messages", "SELECT"),
        ("participants", "SELECT"),
        ("threads", "SELECT"),
    ]
    with owner.engine.connect() as connection, connection.begin():
        connection.execute(text("SET LOCAL ROLE wakebridge_search"))
        with pytest.raises(DBAPIError, match="permission denied"):
            connection.execute(text("CREATE TABLE mine (a int)"))


def test_a_search_looks_at_what_it_finds_and_never_reads_a_table(world: World, owner: Owner) -> None:
    """Under row-level security: counted by the database itself, since a function's plan is not shown."""
    thread = world.thread("alice", "bob")
    world.post(thread, "alice", "a needle")
    for workspace, people in ((world.workspace, 40), ("ws_2", 40)):
        owner.run(
            "INSERT INTO threads (thread_id, workspace_id, title, type, status, progress_at, created_by, created_at, "
            "updated_at, last_seq) SELECT :ws || '_' || n, :ws, 't', 'workflow', 'active', bridge_now(), 'a', "
            "bridge_now(), bridge_now(), 200 FROM generate_series(1, :people) n",
            ws=workspace,
            people=people,
        )
        owner.run(
            "INSERT INTO messages (thread_id, seq, message_id, workspace_id, schema_version, kind, body, "
            "sender_agent_id, created_at, hash) SELECT t.thread_id, n, t.thread_id || '.' || n, :ws, 1, 'chat', "
            "'some hay ' || n || CASE WHEN :ws = 'ws_2' THEN ' needle' ELSE '' END, 'a', bridge_now(), '' "
            "FROM threads t, generate_series(1, 100) n WHERE t.workspace_id = :ws AND t.last_seq = 200",
            ws=workspace,
        )
    owner.run("ANALYZE messages, threads, participants")
    with owner.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM messages"))
    counted = text(
        "SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'messages'"
    )
    for agent in ("alice", None):
        with world.deps.unit(world.workspace) as uow:
            before = uow.run(counted).one()
            rows = uow.run(
                text(
                    "SELECT * FROM bridge_search('needle', :a, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 50)"
                ),
                {"a": agent},
            ).all()
            after = uow.run(counted).one()
        assert len(rows) == 1
        read = [now - was for now, was in zip(after, before, strict=True)]
        assert read == [0, 2], agent  # found and shown: of 4,000 foreign needles none was looked at


def test_a_message_of_any_size_and_letters_can_be_posted(world: World) -> None:
    """A word list has a bound of Postgres' own: what a body and an event may hold stays far below it."""
    thread = world.thread("alice", "bob")
    distinct = " ".join(chr(0x20000 + n) for n in range(0x8000))
    bodies = ["a" * 65536, " ".join(f"{n:x}" for n in range(13000)), distinct[:16384], "\u0301" * 30000]
    for body in bodies:
        event = {"type": "x", "text": distinct, "file": distinct, "commit": [distinct]}
        world.post(thread, "alice", body, kind=MessageKind.EVENT, event=event)
    assert found(world, "32c7") == [2]
