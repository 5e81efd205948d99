"""A backup is one moment of everything, taken under load; a restore gives it back, into an empty database alone."""

from __future__ import annotations

import json
import re
import threading
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from bridge.adapters.backup_file import BackupReader, BackupWriter
from bridge.cli.app import run
from bridge.db.base import TENANT_FREE
from bridge.db.uow import Database
from tests.support.audit import broken_history
from tests.support.fixtures import Servers
from tests.support.postgres import Owner, admin, fresh_database
from tests.support.scene import play
from tests.support.world import Clock, World

POSTERS = 3
OWNER_ROLE = "wakebridge_test_owner"


@pytest.fixture
def backup_file(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where to write; `bridge backup` finds this test's database."""
    monkeypatch.setenv("DATABASE_URL", world.deps.settings.database_url_in_force)
    monkeypatch.setenv("BRIDGE_DATA", str(tmp_path))
    return tmp_path / "all.backup"


@pytest.fixture
def elsewhere(servers: Servers) -> Iterator[str]:
    """An empty database, whose owner is no superuser: row-level security is forced on it."""
    with fresh_database(servers.database_url, template=None) as url, admin(url) as connection:
        name = make_url(url).database
        there = "SELECT FROM pg_roles WHERE rolname = :role"
        if connection.execute(text(there), {"role": OWNER_ROLE}).first() is None:
            connection.execute(text(f"CREATE ROLE {OWNER_ROLE} LOGIN NOSUPERUSER NOBYPASSRLS"))
        roles = "wakebridge_app, wakebridge_keeper, wakebridge_search, wakebridge_archivist"
        connection.execute(text(f"GRANT {roles} TO {OWNER_ROLE} WITH ADMIN OPTION"))
        connection.execute(text(f"ALTER DATABASE {name} OWNER TO {OWNER_ROLE}"))
        yield make_url(url).set(username=OWNER_ROLE).render_as_string(hide_password=False)


def there(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """From now on the commands find that database."""
    monkeypatch.setenv("DATABASE_URL", url)


@contextmanager
def posting(world: World, threads: list[str]) -> Iterator[dict[str, list[int]]]:
    """Somebody posts to each of the threads meanwhile; what was acknowledged so far, by thread."""
    acknowledged: dict[str, list[int]] = defaultdict(list)
    enough = threading.Event()

    def post(thread: str) -> None:
        while not enough.is_set():
            acknowledged[thread].append(world.post(thread, body="päyload\t\\N\n'\"" * 20).seq)

    hands = [threading.Thread(target=post, args=(thread,)) for thread in threads]
    for hand in hands:
        hand.start()
    try:
        yield acknowledged
    finally:
        enough.set()
        for hand in hands:
            hand.join()


def seqs(owner: Owner) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for row in owner.rows("SELECT thread_id, seq FROM messages ORDER BY thread_id, seq"):
        found[row["thread_id"]].append(row["seq"])
    return found


def test_what_was_acknowledged_before_is_restored_without_a_gap_though_posts_went_on(
    world: World,
    servers: Servers,
    elsewhere: str,
    backup_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = [world.thread("alice", "bob") for _ in range(POSTERS)]
    with posting(world, threads) as acknowledged:
        while min(len(acknowledged[thread]) for thread in threads) < 20:
            threading.Event().wait(0.01)
        before = {thread: list(acknowledged[thread]) for thread in threads}
        assert run(["backup", str(backup_file)]) == 0
        during = {thread: len(acknowledged[thread]) for thread in threads}
    assert any(during[thread] > len(before[thread]) for thread in threads), "nobody posted while it was taken"
    assert backup_file.stat().st_mode & 0o777 == 0o600

    there(monkeypatch, elsewhere)
    assert run(["restore", str(backup_file)]) == 0
    owner = Owner(
        make_url(elsewhere).set(username=make_url(servers.database_url).username).render_as_string()
    )
    found = seqs(owner)
    for thread in threads:
        assert set(before[thread]) <= set(found[thread])
        assert found[thread] == list(range(1, len(found[thread]) + 1))
    assert broken_history(owner) == []
    _is_guarded(owner)
    _goes_on(world, owner, elsewhere, threads[0])
    owner.close()


def _is_guarded(owner: Owner) -> None:
    """Row-level security is as the migrations leave it."""
    open_doors = owner.rows(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
        "AND NOT relforcerowsecurity"
    )
    assert {row["relname"] for row in open_doors} == TENANT_FREE | {"alembic_version"}


def _goes_on(world: World, owner: Owner, url: str, thread: str) -> None:
    """The next post there has the next seq, and the chains still hold."""
    last = owner.value("SELECT last_seq FROM threads WHERE thread_id = :t", t=thread)
    db = Database(url)
    there = World(type(world.deps)(**{**vars(world.deps), "db": db}), owner, world.gateway)
    assert there.post(thread, "bob").seq == last + 1
    db.close()
    assert broken_history(owner) == []


def test_every_table_comes_back_row_for_row(
    world: World, clock: Clock, elsewhere: str, backup_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(world, clock)
    assert run(["backup", str(backup_file)]) == 0
    there(monkeypatch, elsewhere)
    assert run(["restore", str(backup_file)]) == 0
    again = backup_file.with_name("again.backup")
    assert run(["backup", str(again)]) == 0
    first, second = ({part.table: part for part in BackupReader(path).parts} for path in (backup_file, again))
    assert all(first[table].rows for table in set(first) - {"ticks", "slots"})
    changed = {table for table in first if first[table] != second[table]}
    assert changed <= {"hosts", "audit_events"}, "hosts are not seen yet; the audit says that it was restored"


def test_taking_and_restoring_are_audited(
    world: World, elsewhere: str, backup_file: Path, monkeypatch: pytest.MonkeyPatch, servers: Servers
) -> None:
    world.thread("alice", "bob")
    assert run(["backup", str(backup_file)]) == 0
    digest = BackupReader(backup_file).sha256()
    said = "SELECT event, actor FROM audit_events WHERE resource_id = :digest"
    (taken,) = world.owner.rows(said, digest=digest)
    assert taken["event"] == "backup.taken"
    assert taken["actor"].startswith("operator at the console (")
    there(monkeypatch, elsewhere)
    assert run(["restore", str(backup_file)]) == 0
    owner = Owner(
        make_url(elsewhere).set(username=make_url(servers.database_url).username).render_as_string()
    )
    assert [row["event"] for row in owner.rows(said, digest=digest)] == ["backup.restored"]
    owner.close()


def test_a_database_with_rows_is_replaced_by_its_name_only_and_by_nothing_while_it_is_used(
    world: World, backup_file: Path, capsys: pytest.CaptureFixture[str], database_url: str
) -> None:
    thread = world.thread("alice", "bob")
    world.post(thread)
    assert run(["backup", str(backup_file)]) == 0
    world.post(thread)
    assert run(["restore", str(backup_file)]) == 1
    assert "processes of a stack are connected" in capsys.readouterr().err
    world.deps.db.close()
    name = make_url(database_url).database
    for asked in ([], ["--replace", "wakebridge"]):
        assert run(["restore", str(backup_file), *asked]) == 1
        assert f"say --replace {name}" in capsys.readouterr().err
    assert seqs(world.owner) == {thread: [1, 2]}
    assert run(["restore", str(backup_file), "--replace", str(name)]) == 0
    assert seqs(world.owner) == {thread: [1]}


def test_a_damaged_a_foreign_and_a_newer_backup_are_refused_before_anything_is_dropped(
    world: World, backup_file: Path, capsys: pytest.CaptureFixture[str], database_url: str
) -> None:
    world.post(world.thread("alice", "bob", thread_id="th_1"), body="x" * 5000)
    assert run(["backup", str(backup_file)]) == 0
    world.deps.db.close()
    words = ["restore", str(backup_file), "--replace", str(make_url(database_url).database)]
    whole = backup_file.read_bytes()
    with zipfile.ZipFile(backup_file) as opened:
        at = opened.getinfo("tables/messages.copy").header_offset + 100  # past the header, in its data
    backup_file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert run(words) == 1
    assert "messages" in capsys.readouterr().err
    for rubbish in (b"", b"PK", whole[: len(whole) // 2]):
        backup_file.write_bytes(rubbish)
        assert run(words) == 1
        assert "no backup of Wakebridge" in capsys.readouterr().err
    backup_file.unlink()
    _rewritten(backup_file, "9999")
    assert run(words) == 1
    assert "does not know" in capsys.readouterr().err
    assert seqs(world.owner) == {"th_1": [1]}


def _rewritten(path: Path, revision: str) -> None:
    writer = BackupWriter(path)
    writer.finish({"revision": revision, "at": "", "rows": 0, "workspaces": []})


def test_a_backup_writes_over_no_file_and_leaves_no_half_one(
    world: World, backup_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.owner.run("UPDATE alembic_version SET version_num = '0001'")
    assert run(["backup", str(backup_file)]) == 1
    assert "bridge db upgrade" in capsys.readouterr().err
    backup_file.write_text("somebody's")
    assert run(["backup", str(backup_file)]) == 1
    assert backup_file.read_text() == "somebody's"
    assert list(backup_file.parent.iterdir()) == [backup_file]


def test_no_secret_and_no_key_is_in_a_backup(
    world: World, backup_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = backup_file.parent / "keys"
    keys.mkdir()
    (keys / "signing.pem").write_text("secret")
    world.thread("alice", "bob")
    assert run(["backup", str(backup_file), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    with zipfile.ZipFile(backup_file) as opened:
        assert all(re.fullmatch(r"tables/\w+\.copy|manifest\.json", name) for name in opened.namelist())
    assert "database_url" not in json.dumps(said)
