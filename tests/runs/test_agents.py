"""Agents as they are: whatever one does, its run ends, with what it was, and nothing of it lives."""

import os
import signal
from pathlib import Path

import pytest

from tests.runs.world import GONE_S, World, living, until

BY_FIELD = {"identity": {"match": "json", "field": "thread_id"}}
BIG = "x" * 64 * 1024


def test_one_that_never_reads_its_prompt_is_not_waited_for(world: World) -> None:
    spec = world.start("says_and_waits", "here", prompt=BIG)
    world.told(spec, "proved")
    world.book.end(spec.run_id, "enough", 0.2)
    assert world.ended(spec)[1:] == ("killed", "enough")


def test_one_that_ends_before_it_reads_is_no_trouble(world: World) -> None:
    spec = world.start("quits", "0", prompt=BIG)
    assert world.ended(spec) == (0, "exited", "it ended by itself")
    assert world.recorder.of(spec.run_id) == ["started", "ended"], "who says nothing has proved nothing"


def test_one_that_fails_says_how(world: World) -> None:
    spec = world.start("quits", "3")
    assert world.ended(spec) == (3, "crashed", "it ended with status 3")
    other = world.start("kills_itself")
    assert world.ended(other) == (-9, "crashed", "it ended with signal 9")


def test_one_that_closes_its_output_runs_on(world: World) -> None:
    spec = world.start("closes")
    world.told(spec, "started")
    pid = world.told(spec, "started")["pid"]
    until(lambda: len(list(Path(f"/proc/{pid}/fd").iterdir())) == 1, "its output is closed")
    world.book.end(spec.run_id, "enough", 0.2)
    assert world.ended(spec) == (-15, "killed", "enough")


def test_a_flood_is_read_and_only_its_beginning_is_kept(world: World) -> None:
    spec = world.start("floods", str(100 * 1024), preset=BY_FIELD)
    assert world.ended(spec) == (0, "exited", "it ended by itself")
    output = world.output(spec)
    assert 1024 * 1024 < len(output) < 1024 * 1024 + 100
    assert output.endswith(b"[%d bytes more were not kept]\n" % (99 * 1024 * 1024))
    assert world.recorder.of(spec.run_id) == ["started", "ended"]


def test_a_line_without_end_proves_nothing_and_costs_nothing(world: World) -> None:
    spec = world.start("long_line", preset=BY_FIELD)
    assert world.ended(spec)[:2] == (0, "exited")
    assert "proved" not in world.recorder.of(spec.run_id)
    other = world.start("long_line", preset={})
    world.ended(other)
    assert "proved" in world.recorder.of(other.run_id), "where any line is a proof, it need not end"


def test_one_that_ignores_term_is_killed_after_the_grace(world: World) -> None:
    spec = world.start("ignores")
    world.told(spec, "proved")
    world.book.end(spec.run_id, "enough", 0.2)
    assert world.ended(spec) == (-9, "killed", "enough")


def test_one_that_ends_well_when_asked_was_killed_all_the_same(world: World) -> None:
    spec = world.start("polite")
    world.told(spec, "proved")
    world.book.end(spec.run_id, "enough", 5.0)  # longer than its own grace: who asks says how long
    assert world.ended(spec) == (0, "killed", "enough")


def test_one_that_stopped_itself_hears_that_it_is_to_end(world: World) -> None:
    spec = world.start("stops")
    pid = world.told(spec, "started")["pid"]
    until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "it stopped")
    world.book.end(spec.run_id, "enough", 5.0)
    assert world.ended(spec) == (-15, "killed", "enough")


def test_a_daemon_that_holds_the_output_open_goes_with_its_agent(world: World) -> None:
    spec = world.start("leaves_a_daemon")
    assert world.ended(spec) == (0, "exited", "it ended by itself")
    assert world.output(spec) == b"gone\n"


@pytest.mark.parametrize("part", ["escapes", "grows"])
def test_who_forks_twice_in_a_session_of_its_own_without_an_environment_does_not_escape(
    world: World, part: str
) -> None:
    spec = world.start(part)
    world.told(spec, "proved")
    until(lambda: len(living(spec.run_id)) >= 3, "its family")
    world.book.end(spec.run_id, "enough", 0.1)
    assert world.ended(spec)[1:] == ("killed", "enough")


@pytest.mark.parametrize("how", ["together", "apart"])
def test_who_forks_and_ends_faster_than_one_can_look_is_caught(world: World, how: str) -> None:
    spec = world.start("chains", how)
    world.told(spec, "proved")
    world.book.end(spec.run_id, "enough", 0.1)
    world.told(spec, "ended", GONE_S)
    assert world.ended(spec)[1:] == ("killed", "enough")


def test_a_shim_that_is_told_to_stop_ends_its_run_first(world: World) -> None:
    spec = world.start("escapes")
    world.told(spec, "proved")
    os.kill(world.told(spec, "started")["shim_pid"], signal.SIGTERM)
    assert world.ended(spec) == (-15, "killed", "its shim was told to stop")


def test_orphans_that_end_are_buried(world: World) -> None:
    spec = world.start("buries_nobody")
    world.told(spec, "proved")
    started = world.told(spec, "started")

    def children() -> list[str]:
        pid = started["shim_pid"]
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

    until(lambda: children() == [str(started["pid"])], "only the agent is left")
    world.book.end(spec.run_id, "enough", 0.1)
    world.ended(spec)


def test_it_is_killed_when_its_time_is_over(world: World) -> None:
    spec = world.start("ignores", kill_after_s=0.5, kill_grace_s=0.1)
    assert world.ended(spec) == (-9, "killed", "it ran for longer than 0.5 s")


def test_a_second_word_shortens_the_grace_and_does_not_change_the_reason(world: World) -> None:
    spec = world.start("ignores", kill_grace_s=60.0)
    world.told(spec, "proved")
    world.book.end(spec.run_id, "first", 60.0)
    world.book.end(spec.run_id, "second", 0.1)
    world.book.end("run_nobody_knows", "third", 0.1)
    assert world.ended(spec) == (-9, "killed", "first")


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("no-such-program", "there is no such file"),
        ("/no/such/program", "there is no such file"),
        ("/etc/passwd", "not allowed, or not executable"),
        ("{here}/text", "not a program"),
    ],
)
def test_what_cannot_be_started_is_told_in_words(world: World, program: str, why: str) -> None:
    text = world.settings.data_dir / "text"
    text.write_text("not a program\n")
    text.chmod(0o700)
    program = program.format(here=world.settings.data_dir)
    world.preset("-", spawn=[program])
    spec = world.spec()
    world.book.start(spec)
    assert world.ended(spec) == (127, "crashed", f"could not be started: {program}: {why}")
    assert world.recorder.of(spec.run_id) == ["ended"]


def test_a_directory_that_is_not_there_is_told_in_words(world: World) -> None:
    spec = world.start("says", "here", cwd="/no/such/place")
    why = "could not be started: its directory /no/such/place: there is no such file"
    assert world.ended(spec) == (127, "crashed", why)


def test_a_shim_that_was_stopped_does_not_keep_its_run(world: World) -> None:
    spec = world.start("ignores", kill_after_s=60)
    world.told(spec, "proved")
    os.kill(world.told(spec, "started")["shim_pid"], signal.SIGSTOP)
    world.book.end(spec.run_id, "enough", 0.1)
    world.told(spec, "ended", GONE_S)
    assert world.ended(spec) == (None, "killed", "enough")
