"""What a program shows of itself by its files: the name of its session, and its own record of what it took."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Self

from bridge.terminal.live import Live
from bridge.terminal.native import open_files, record_of, session_of
from bridge.terminal.record import Record
from bridge.terminal.terms import By
from bridge.terminal.ways import NEW_S, Ways

FORM = re.compile(r"/locks/([a-z0-9]+)\.lock$")
TURN = r'^\{"type":"message","role":"user",'
LINE = "Wakebridge: 1 new message in 1 thread. Read with: bridge inbox"
HOLDER = "import sys; held = [open(name, 'a') for name in sys.argv[1:]]; print('open', flush=True); sys.stdin.read()"


class Holder:
    """A program that has files open, itself or by a child of its own."""

    def __init__(self, *files: Path, deep: bool = False) -> None:
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-c", HOLDER, *map(str, files)]
        if deep:
            argv = ["/bin/sh", "-c", '"$@"; exit 0', "sh", *argv]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"open\n"

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


def turn(text: str) -> str:
    return json.dumps({"type": "message", "role": "user", "content": text}, separators=(",", ":")) + "\n"


def said(text: str) -> str:
    return json.dumps({"type": "message", "role": "assistant", "content": text}, separators=(",", ":")) + "\n"


class TestName:
    def test_the_open_file_names_the_session(self, tmp_path: Path) -> None:
        with Holder(tmp_path / "locks" / "one.lock") as holder:
            assert session_of(open_files(holder.pid), FORM, None) == "one"

    def test_so_does_a_childs(self, tmp_path: Path) -> None:
        with Holder(tmp_path / "locks" / "one.lock", deep=True) as holder:
            assert session_of(open_files(holder.pid), FORM, None) == "one"

    def test_two_are_none_but_for_the_known_one(self, tmp_path: Path) -> None:
        with Holder(tmp_path / "locks" / "one.lock", tmp_path / "locks" / "two.lock") as holder:
            levels = open_files(holder.pid)
        assert session_of(levels, FORM, None) is None
        assert session_of(levels, FORM, "two") == "two"
        assert session_of(levels, FORM, "three") is None

    def test_the_nearest_process_counts(self) -> None:
        levels = [["/x"], ["/locks/near.lock"], ["/locks/far.lock"]]
        assert session_of(levels, FORM, "far") == "near"

    def test_a_process_that_is_gone_has_no_files(self, tmp_path: Path) -> None:
        with Holder(tmp_path / "locks" / "one.lock") as holder:
            pass
        assert session_of(open_files(holder.pid), FORM, "one") is None

    def test_the_record_is_this_sessions_and_no_others(self) -> None:
        levels = [["/log/a-two.jsonl", "/log/a-one.jsonl"]]
        assert record_of(levels, r"/log/a-{native_id}\.jsonl$", "one") == Path("/log/a-one.jsonl")
        assert record_of(levels, r"/log/a-{native_id}\.jsonl$", "o.e") is None


class TestRecord:
    def test_only_what_is_appended_counts(self, tmp_path: Path) -> None:
        path = tmp_path / "record"
        path.write_text(turn(LINE))
        record = Record(path, TURN)
        assert record.prompts() == []
        with path.open("a") as file:
            file.write(turn(LINE))
        assert LINE in record.prompts()
        assert record.prompts() == []
        record.close()

    def test_one_that_is_written_anew_and_shorter_is_followed_from_there(self, tmp_path: Path) -> None:
        path = tmp_path / "record"
        path.write_text(turn("one") + turn("two") + turn("three"))
        record = Record(path, TURN)
        path.write_text(turn(LINE))
        assert record.prompts() == [], "what it was written anew with is not new"
        with path.open("a") as file:
            file.write(turn(LINE))
        assert LINE in record.prompts()
        record.close()

    def test_what_an_agent_says_is_no_prompt_whatever_it_quotes(self, tmp_path: Path) -> None:
        path = tmp_path / "record"
        path.touch()
        record = Record(path, TURN)
        path.write_text(said(LINE) + said(turn(LINE)) + said("\n" + turn(LINE)))
        assert record.prompts() == []
        record.close()

    def test_half_a_line_waits_for_its_other_half(self, tmp_path: Path) -> None:
        path = tmp_path / "record"
        path.touch()
        record = Record(path, TURN)
        whole = turn(f"before\n{LINE}\nafter")
        path.write_text(whole[:30])
        assert record.prompts() == []
        with path.open("a") as file:
            file.write(whole[30:])
        assert LINE in record.prompts()
        record.close()


class TestWays:
    LIVE = Live(
        native_file=FORM.pattern,
        record_file=r"/log/a-{native_id}\.jsonl$",
        record_turn=TURN,
        queue_argv=("{program}", "{native_id}", "{line}"),
    )

    def test_a_record_that_is_there_from_the_beginning_is_read_from_its_end(self, tmp_path: Path) -> None:
        path = tmp_path / "log" / "a-one.jsonl"
        path.parent.mkdir()
        path.write_text(turn(LINE))
        ways = Ways(self.LIVE, "true", {})
        with Holder(tmp_path / "locks" / "one.lock", path) as holder:
            assert ways.serve(set(), holder.pid, 10.0, eager=False) == []
            assert ways.native_id == "one"
            assert ways.can_queue
            with path.open("a") as file:
                file.write(turn(LINE))
            assert (LINE, By.RECORD) in ways.serve(set(), holder.pid, 11.5, eager=True)
        ways.close()

    def test_nothing_is_queued_before_the_session_has_a_record_and_a_new_one_is_read_whole(
        self, tmp_path: Path
    ) -> None:
        lock, path = tmp_path / "locks" / "one.lock", tmp_path / "log" / "a-one.jsonl"
        ways = Ways(self.LIVE, "true", {})
        with Holder(lock) as holder:
            ways.serve(set(), holder.pid, 10.0, eager=False)
            assert ways.native_id == "one"
            before = ways.can_queue
        path.parent.mkdir()
        path.write_text(turn(LINE))
        with Holder(lock, path) as holder:
            found = ways.serve(set(), holder.pid, 10.0 + NEW_S, eager=False)
            assert (LINE, By.RECORD) in found
            assert (before, ways.can_queue) == (False, True)
        ways.close()

    def test_a_program_that_goes_to_another_session_is_followed(self, tmp_path: Path) -> None:
        ways = Ways(self.LIVE, "true", {})
        for name, now in (("one", 10.0), ("two", 20.0)):
            with Holder(tmp_path / "locks" / f"{name}.lock") as holder:
                ways.serve(set(), holder.pid, now, eager=False)
                assert ways.native_id == name
        ways.close()
