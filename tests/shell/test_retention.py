"""Archiving: closed threads into a file and back, row for row; what somebody waits for stays, audit always."""
# ruff: noqa: S608 - table and column names are the tests' own

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bridge.adapters.archive_file import ArchiveReader, ArchiveWriter
from bridge.cli.app import run
from bridge.commands.archive_thread import archive_thread
from bridge.commands.move_cursor import move_cursor
from bridge.commands.restore_thread import restore_thread
from bridge.commands.set_thread_status import set_thread_status
from bridge.config import inherited_environment
from bridge.core.retention import Line, digest_of, kept_because
from bridge.core.states import MessageKind, Role, ThreadStatus
from bridge.db import all_tables
from bridge.db.archive import PARTS, standing
from bridge.db.uow import Database
from bridge.queries.archive import thread_rows
from bridge.queries.audit_marks import MarkPlace, check_marks, list_heads
from tests.shell.test_lock_order import recorded, steps_back
from tests.support.audit import broken_history
from tests.support.postgres import Owner
from tests.support.world import WORKSPACE, Clock, World

DAY_S = 86_400


@pytest.fixture(autouse=True)
def at_home(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands find this test's database."""
    monkeypatch.setenv("DATABASE_URL", world.deps.settings.database_url_in_force)
    monkeypatch.setenv("BRIDGE_DATA", str(world.deps.settings.data_dir))


@pytest.fixture
def old(world: World, clock: Clock) -> list[str]:
    """Two threads that are over since a hundred days; one try offered wakes of both. And one that goes on."""
    world.live("bob")
    threads = [world.thread("alice", "bob", thread_id=f"th_old_{n}") for n in (1, 2)]
    event = {"type": "finding_reported", "finding_id": "f", "file": "a.py", "line": 1, "text": "t"}
    odd = {"a": [1, 2.50, 1e300, "ü\u2028"], "b": None, "big": 12345678901234567890}
    world.post(threads[0], kind=MessageKind.EVENT, event=event, metadata=odd)
    world.post(threads[1], body="öld 'wörds' \\ and\nmore")
    first = world.open_wake(threads[0], "bob")
    assert first is not None
    world.waiting(first["wake_id"])
    for thread in threads:
        move_cursor(world.deps, world.caller("bob"), thread, 1)
    _with_a_run(world, threads[0], clock)
    for thread in threads:
        close(world, thread)
    clock.advance(100 * DAY_S)
    world.post(world.thread("alice", "bob", thread_id="th_live"))
    shared = world.owner.value(
        "SELECT count(*) FROM attempt_wakes a JOIN attempt_wakes b USING (attempt_id) WHERE a.wake_id < b.wake_id"
    )
    assert shared == 1, "one try offers the wakes of both threads"
    return threads


def _with_a_run(world: World, thread: str, clock: Clock) -> None:
    world.startable("carl")
    world.owner.run(
        "INSERT INTO participants (thread_id, agent_id, workspace_id, joined_at) VALUES (:t, 'carl', :ws, :now)",
        t=thread,
        ws=WORKSPACE,
        now=clock.now,
    )
    wake_id = world.post(thread, to=("carl",)).wakes[0].wake_id
    world.owner.insert(
        "attempts",
        {"attempt_id": "att_run", "workspace_id": WORKSPACE, "wake_id": wake_id, "agent_id": "carl"}
        | {"thread_id": thread, "session_id": "ses_carl", "rung": "spawn", "fence": 1}
        | {"begun_at": clock.now, "closed_at": clock.now},
    )
    world.owner.insert(
        "attempt_wakes",
        {"attempt_id": "att_run", "wake_id": wake_id, "workspace_id": WORKSPACE, "offered_seq": 1},
    )
    run_row: dict[str, Any] = {"run_id": "run_1", "workspace_id": WORKSPACE, "agent_id": "carl"}
    run_row |= {"session_id": "ses_carl", "native_id": "n", "attempt_id": "att_run", "rung": "spawn"}
    run_row |= {"preset": "script", "host": "local", "worker": "hand-1", "slot": 1, "state": "running"}
    world.owner.insert("runs", run_row | dict.fromkeys(("begun_at", "kill_at", "updated_at"), clock.now))


def close(world: World, thread: str) -> None:
    operator = world.caller("olivia", Role.OPERATOR)
    set_thread_status(world.deps, operator, thread, status=ThreadStatus.CLOSED, reason="done")
    world.owner.run("UPDATE notices SET acked_at = bridge_now(), acked_by = 'olivia'")
    world.owner.run(
        "UPDATE runs SET state = 'ended', ended_at = bridge_now(), result = 'exited' WHERE state <> 'ended'"
    )


def rows(owner: Owner, *, heads: bool = False) -> dict[str, list[str]]:
    """Every row of every table but the audit, as text; without the audit's heads unless they are asked for."""
    left_out = "'{}'::text[]" if heads else "ARRAY['audit_n', 'audit_head']"
    return {
        table: sorted(
            row["row"] for row in owner.rows(f"SELECT (to_jsonb(t) - {left_out})::text AS row FROM {table} t")
        )
        for table in sorted(set(all_tables().tables) - {"audit_events"})
    }


def retention(*words: str) -> int:
    return run(["retention", *words])


def archive(folder: Path, *more: str) -> int:
    return retention("run", "--older-than", "90d", "--archive", str(folder), "--workspace", WORKSPACE, *more)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl.gz"))


def test_a_dry_run_says_what_would_go_and_changes_nothing(
    world: World, old: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows(world.owner, heads=True)
    assert archive(tmp_path / "a", "--dry-run", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["thread_id"] for one in said["threads"]] == old
    assert all(one["rows"] > 5 and one["bytes"] > 1000 for one in said["threads"])
    assert rows(world.owner, heads=True) == before
    assert not (tmp_path / "a").exists()


@pytest.mark.usefixtures("old")
def test_archive_delete_and_restore_lose_nothing(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows(world.owner)
    assert all(before[table] for table in PARTS), "every part of a thread is there"
    events = world.owner.value("SELECT count(*) FROM audit_events")

    assert archive(tmp_path, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    (file,) = files(tmp_path)
    assert (said["file"], file.stat().st_mode & 0o777) == (str(file), 0o600)
    for table in PARTS:
        left = world.owner.value(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%th_old%'")
        assert left == 0, table
    assert {row for row in rows(world.owner)["threads"] if "th_live" in row}
    assert not rows(world.owner)["runs"]
    assert world.owner.value("SELECT count(*) FROM audit_events") > events
    assert broken_history(world.owner) == []

    assert retention("restore", str(file)) == 0
    assert rows(world.owner) == before
    assert broken_history(world.owner) == []
    assert retention("restore", str(file)) == 0, "again: all of it is there"
    assert rows(world.owner) == before


def test_a_database_that_never_archived_a_thread_does_not_take_it_from_a_file(
    world: World, old: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert archive(tmp_path) == 0
    world.owner.run("DELETE FROM audit_events WHERE resource_id = :t", t=old[0])
    assert retention("restore", str(files(tmp_path)[0])) == 1
    assert f"never archived {old[0]}" in capsys.readouterr().err


def test_the_audit_says_who_archived_what_into_which_file_and_under_which_head(
    world: World, old: list[str], tmp_path: Path
) -> None:
    head = world.owner.value("SELECT audit_head FROM threads WHERE thread_id = :t", t=old[0])
    assert archive(tmp_path) == 0
    last = world.owner.rows(
        "SELECT * FROM audit_events WHERE resource_id = :t ORDER BY n DESC LIMIT 1", t=old[0]
    )[0]
    digest = subprocess.run(
        ["sha256sum", files(tmp_path)[0]], capture_output=True, text=True, check=True
    ).stdout
    assert (last["event"], last["prev"]) == ("thread.archived", head)
    assert last["after"]["file_sha256"] == digest.split()[0]
    assert last["actor"].startswith("operator at the console (")


def test_a_row_that_is_gone_without_being_archived_is_found(
    world: World, old: list[str], tmp_path: Path
) -> None:
    assert archive(tmp_path) == 0
    world.owner.run("DELETE FROM audit_events WHERE event = 'thread.archived' AND resource_id = :t", t=old[0])
    assert [(one.resource_id, one.what) for one in broken_history(world.owner)] == [
        (old[0], "the row that keeps its head is gone")
    ]


def test_marks_that_were_kept_of_an_archived_thread_are_not_missed(
    world: World, old: list[str], tmp_path: Path
) -> None:
    operator = world.caller("olivia", Role.OPERATOR)
    kept = list_heads(world.deps, operator, MarkPlace("messages")).items
    assert {mark.resource_id for mark in kept} >= {old[0]}
    assert archive(tmp_path) == 0
    assert check_marks(world.deps, operator, kept) == ()
    world.owner.run("DELETE FROM audit_events WHERE event = 'thread.archived' AND resource_id = :t", t=old[0])
    assert [one.resource_id for one in check_marks(world.deps, operator, kept)] == [old[0]]


def test_a_try_stays_for_the_other_thread_until_that_one_goes_too(
    world: World, old: list[str], clock: Clock, tmp_path: Path
) -> None:
    before = rows(world.owner)
    world.owner.run("UPDATE threads SET updated_at = :now WHERE thread_id = :t", now=clock.now, t=old[1])
    between = rows(world.owner)
    assert archive(tmp_path) == 0
    shared = "SELECT count(*) FROM attempts WHERE attempt_id <> 'att_run'"
    assert world.owner.value(shared) == 1
    clock.advance(100 * DAY_S)
    assert archive(tmp_path) == 0
    assert world.owner.value(shared) == 0
    for file in files(tmp_path):
        assert retention("restore", str(file)) == 0
    assert rows(world.owner) == between
    assert before["attempts"] == between["attempts"]
    assert broken_history(world.owner) == []


STAYING = {
    "it is not closed": "UPDATE threads SET status = 'resolved'",
    "it changed since": "UPDATE threads SET updated_at = bridge_now()",
    "a wake is open": "UPDATE wakes SET state = 'pending' WHERE wake_id = "
    "(SELECT min(wake_id) FROM wakes WHERE thread_id = 'th_old_1')",
    "a try is open": "UPDATE attempts SET closed_at = NULL WHERE attempt_id = 'att_run'",
    "a run goes on": "UPDATE runs SET state = 'ending', ended_at = NULL, result = NULL",
    "a notice that names it is not acknowledged": "INSERT INTO notices (notice_id, workspace_id, audience, cause, "
    "text, wake_id, first_at, last_at) SELECT 'n_1', 'ws_1', 'alice', 'c', 't', min(wake_id), bridge_now(), "
    "bridge_now() FROM wakes WHERE thread_id = 'th_old_1'",
}


def test_a_thread_on_which_anybody_waits_stays(world: World, old: list[str], clock: Clock) -> None:
    before = clock.now - timedelta(days=90)
    for why, change in STAYING.items():
        with world.deps.unit(WORKSPACE) as uow:
            assert kept_because(standing(uow, old[0]).standing, before) is None
            uow.run(text(change))
            assert kept_because(standing(uow, old[0]).standing, before) == why
            uow.connection.rollback()


def test_what_stays_is_said_with_its_reason(
    world: World, old: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.owner.run(STAYING["a notice that names it is not acknowledged"])
    assert archive(tmp_path, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["thread_id"] for one in said["threads"]] == [old[1]]
    assert said["kept"] == {old[0]: "a notice that names it is not acknowledged"}
    assert world.owner.value("SELECT count(*) FROM threads WHERE thread_id = :t", t=old[0]) == 1


def test_nothing_is_removed_when_the_archive_would_not_give_the_messages_back_as_they_were_said(
    world: World, old: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.owner.run("UPDATE messages SET body = 'never said' WHERE thread_id = :t AND seq = 1", t=old[0])
    before = rows(world.owner, heads=True)
    assert archive(tmp_path) == 1
    assert f"message {old[0]} 1" in capsys.readouterr().err
    assert rows(world.owner, heads=True) == before


@pytest.mark.usefixtures("old")
def test_a_damaged_or_a_forged_archive_is_refused_and_nothing_is_put_back(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert archive(tmp_path) == 0
    before = rows(world.owner)
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    for at in (0, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert retention("restore", str(file)) == 1
    file.write_bytes(whole[:-200])
    assert retention("restore", str(file)) == 1
    file.write_bytes(whole)
    _forge(file)
    assert retention("restore", str(file)) == 1
    assert "th_old_1 was archived as it is in" in capsys.readouterr().err
    assert rows(world.owner) == before


def _forge(file: Path) -> None:
    """Another word in a message, and every digest of the file as it should be."""
    reader = ArchiveReader(file)
    written = {thread: list(lines) for thread, lines in reader.blocks()}
    header = reader.header()
    del header["format"]
    file.unlink()
    writer = ArchiveWriter(file, header)
    for thread, lines in written.items():
        writer.add(
            thread,
            [
                Line(line.table, line.row.replace('"chat"', '"event"').replace('"text"', '"lies"'))
                for line in lines
            ],
        )
    writer.finish()


def program(folder: Path) -> subprocess.Popen[bytes]:
    """A run of its own, that can be killed."""
    words = ["retention", "run", "--older-than", "90d", "--archive", str(folder), "--workspace", WORKSPACE]
    return subprocess.Popen([sys.executable, "-m", "bridge.cli.app", *words], env=inherited_environment())


def until(holds: Callable[[], bool], deadline_s: float = 30.0) -> None:
    """Return when it holds."""
    ends = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < ends
        threading.Event().wait(0.02)


@pytest.mark.usefixtures("old")
def test_a_run_that_is_killed_while_it_writes_leaves_no_archive_and_is_run_again(
    world: World, tmp_path: Path
) -> None:
    before = rows(world.owner)
    with world.owner.holding("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE"):
        killed = program(tmp_path)
        until(lambda: bool(list(tmp_path.glob("*.partial"))))
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert (files(tmp_path), rows(world.owner)) == ([], before)
    assert archive(tmp_path) == 0
    assert [path.name for path in tmp_path.iterdir()] == [path.name for path in files(tmp_path)]


def test_a_run_that_is_killed_between_two_threads_goes_on_and_nothing_is_lost_or_doubled(
    world: World, old: list[str], clock: Clock, tmp_path: Path
) -> None:
    before = rows(world.owner)
    there = "SELECT count(*) FROM threads WHERE thread_id = :t"
    with world.owner.holding("SELECT FROM threads WHERE thread_id = :t FOR UPDATE", t=old[1]):
        killed = program(tmp_path)
        until(lambda: world.owner.value(there, t=old[0]) == 0)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert world.owner.value(there, t=old[1]) == 1
    clock.advance(1)
    assert archive(tmp_path) == 0
    assert world.owner.value(there, t=old[1]) == 0
    assert len(files(tmp_path)) == 2
    for file in files(tmp_path):
        assert retention("restore", str(file)) == 0
    assert rows(world.owner) == before
    assert broken_history(world.owner) == []


def test_a_thread_that_changed_after_it_was_written_is_not_removed(
    world: World, old: list[str], clock: Clock
) -> None:
    db = Database(world.deps.settings.database_url_in_force, role="archivist")
    deps, caller = replace(world.deps, db=db), world.caller("olivia", Role.OPERATOR)
    where = {"sha256": digest_of(thread_rows(deps, caller, old[0])).hex(), "file": "f", "file_sha256": "0"}
    world.owner.run(
        "UPDATE participants SET last_read_seq = last_read_seq + 1 WHERE thread_id = :t", t=old[0]
    )
    before, at_rest = clock.now - timedelta(days=90), rows(world.owner, heads=True)
    assert archive_thread(deps, caller, old[0], before=before, **where) is not None
    assert rows(world.owner, heads=True) == at_rest
    db.close()


def test_archiving_and_restoring_step_not_back_in_the_lock_order(
    world: World, old: list[str], clock: Clock
) -> None:
    db = Database(world.deps.settings.database_url_in_force, role="archivist")
    deps = replace(world.deps, db=db)
    lines = list(thread_rows(deps, world.caller("olivia"), old[0]))
    digest = digest_of(lines).hex()
    before = clock.now - timedelta(days=90)
    with recorded(db) as recorder:
        caller = world.caller("olivia", Role.OPERATOR)
        where = {"sha256": digest, "file": "f", "file_sha256": "0"}
        assert archive_thread(deps, caller, old[0], before=before, **where) is None
        assert restore_thread(deps, caller, old[0], lines, sha256=digest)
    assert [steps_back(transaction) for transaction in recorder.transactions] == [[], []]
    db.close()
