"""The book of runs: what it tells, refuses, keeps and cleans up."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.adapters.presets import preset_names
from bridge.adapters.runtimes.command import PACKAGES
from bridge.adapters.runtimes.run_files import RunFiles
from bridge.adapters.runtimes.shim import START
from bridge.core.errors import Conflict, InvalidArgument, Unavailable
from bridge.core.states import Rung
from bridge.ports.runs import RunSpec
from tests.runs.world import Recorder, World, living, token, until


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_in(pid: int) -> list[str]:
    """What a process has open; what it closes while it is looked at (it loads its modules) is not there."""
    links = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(path))  # noqa: PTH115
    return links


def test_what_the_watcher_does_not_take_is_told_again_in_order(world: World) -> None:
    world.recorder.refusals = 5
    spec = world.start("says", "here")
    world.ended(spec)
    assert world.recorder.of(spec.run_id) == ["started", "proved", "ended"]
    assert world.recorder.tried == 8
    until(lambda: world.book.held() == set(), "its end was taken")


def test_a_run_is_held_until_its_end_was_taken(world: World) -> None:
    world.recorder.refusals = 10**6
    spec = world.start("quits", "0")
    until(lambda: world.recorder.tried, "something is told")
    until(lambda: not living(spec.run_id), "nothing of it lives")
    assert world.book.held() == {spec.run_id}
    with pytest.raises(Conflict, match="started before"):
        world.book.start(spec)
    world.recorder.refusals = 0
    until(lambda: world.book.held() == set(), "its end was taken")


def test_a_watcher_that_hangs_holds_up_no_run(world: World) -> None:
    hangs = threading.Event()
    first = threading.Event()

    class Hanging(Recorder):
        def _note(self, spec: RunSpec, event: str, **facts: object) -> None:
            first.set()
            hangs.wait(20)
            super()._note(spec, event, **facts)

    world.recorder = Hanging()
    one = world.start("ignores")
    assert first.wait(20)
    two = world.start("says", "here")
    until(lambda: living(two.run_id) == {}, "the second came to its end")
    world.book.end(one.run_id, "enough", 0.1)
    until(lambda: living(one.run_id) == {}, "so did the first")
    assert world.book.held() == {one.run_id, two.run_id}
    hangs.set()
    until(lambda: world.book.held() == set(), "all was told")


def test_the_same_run_never_starts_twice(world: World) -> None:
    spec = world.start("says", "here")
    world.ended(spec)
    until(lambda: world.book.held() == set(), "its end was taken")
    with pytest.raises(Conflict, match="started before"):
        world.book.start(spec)
    assert world.book.held() == set()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run_id", "../up"),
        ("run_id", ""),
        ("run_id", ".hidden"),
        ("rung", Rung.LIVE),
        ("preset", "line"),
        ("preset", "no-such"),
        ("preset", "../scripted"),
        ("prompt", "x" * (64 * 1024 + 1)),
        ("prompt", "\ud800"),
        ("native_id", ""),
        ("native_id", "two\nlines"),
        ("native_id", "--dangerous"),
        ("session_id", "nul\0"),
        ("kill_after_s", float("inf")),
        ("kill_after_s", 0.0),
        ("kill_grace_s", float("nan")),
        ("cwd", "relative"),
        ("cwd", "/nul\0"),
    ],
)
def test_what_can_never_start_is_refused_before_anything_is(world: World, field: str, value: object) -> None:
    world.preset("says", "{run_id}", resume=["true", "{native_id}"], spawn=["true", "{native_id}"])
    spec = replace(world.spec(), **{field: value})  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        world.book.start(spec)
    assert world.book.held() == set()
    assert not (world.settings.run_dir / "runs").exists()


def test_a_rung_that_the_preset_has_not_is_refused(world: World) -> None:
    (world.settings.presets_dir / "half.toml").write_text('name = "half"\n[command]\nspawn = ["true"]\n')
    with pytest.raises(InvalidArgument, match="half cannot resume"):
        world.book.start(world.spec(preset="half", rung=Rung.RESUME))


def test_presets_tell_what_they_can_start_and_broken_ones_nothing(world: World) -> None:
    world.preset("says")
    folder = world.settings.presets_dir
    (folder / "half.toml").write_text('name = "half"\n[command]\nspawn = ["true"]\n')
    (folder / "broken.toml").write_text('name = "broken"\n[command]\nspawn = "true"\n')
    (folder / "open.toml").write_text('name = "open"\n[command]\nspawn = ["true"]\n')
    (folder / "open.toml").chmod(0o666)
    assert _own(world) == {"scripted": ["resume", "spawn"], "half": ["spawn"]}
    (folder / "open.toml").chmod(0o600)
    (folder / "half.toml").write_text('name = "half"\n[command]\nresume = ["true"]\n')
    assert _own(world) == {"scripted": ["resume", "spawn"], "half": ["resume"], "open": ["spawn"]}


def _own(world: World) -> dict[str, list[str]]:
    """What it can start; of the built-in ones nobody knows which programs this machine has."""
    return {name: rungs for name, rungs in world.book.presets().items() if name not in preset_names()}


def test_a_preset_is_told_only_where_its_program_is(world: World) -> None:
    folder = world.settings.presets_dir
    (folder / "absent.toml").write_text(
        'name = "absent"\n[command]\nresume = ["true"]\nspawn = ["./nowhere/agent"]\nenvironment = ["PATH"]\n'
    )
    (folder / "late.toml").write_text(
        f'name = "late"\n[command]\nspawn = ["my-agent"]\n[command.set]\nPATH = "{folder}"\n'
    )
    assert _own(world) == {"absent": ["resume"]}
    (folder / "my-agent").symlink_to("/bin/true")
    assert _own(world) == {"absent": ["resume"], "late": ["spawn"]}


def test_a_run_that_was_given_up_is_not_started_late(world: World) -> None:
    world.preset("says", "here")
    spec = world.spec()
    assert world.book.refuse(spec.run_id)
    with pytest.raises(Conflict, match="given up"):
        world.book.start(spec)
    held = world.start("ignores")
    assert not world.book.refuse(held.run_id)
    assert world.book.held() == {held.run_id}


def test_the_files_of_a_run_are_private_and_its_token_goes_with_it(world: World) -> None:
    spec = world.start("polite")
    world.told(spec, "proved")
    folder = world.settings.run_dir / "runs" / spec.run_id
    assert mode(folder) == 0o700
    assert (folder / "token").read_text() == spec.token
    assert {mode(folder / name) for name in ("token", "output.log")} == {0o600}
    world.book.end(spec.run_id, "enough", 1.0)
    world.ended(spec)
    until(lambda: sorted(os.listdir(folder)) == ["host", "output.log"], "only the output stays")  # noqa: PTH208


def test_nothing_is_put_where_others_may_write(world: World) -> None:
    world.preset("says", "here")
    world.settings.run_dir.mkdir()
    world.settings.run_dir.chmod(0o777)
    with pytest.raises(Unavailable, match="not ours alone"):
        world.book.start(world.spec())
    assert world.book.held() == set()


def test_a_token_is_renewed_at_half_its_life_and_tried_again(world: World) -> None:
    world.minter.life_s = 900.0
    spec = world.start("polite", token=token(2.0))
    file = world.settings.run_dir / "runs" / spec.run_id / "token"
    until(lambda: file.read_text() == token(900.0, 1), "a new token")
    assert world.minter.issued == [("ws", "executor", spec.session_id)]
    assert mode(file) == 0o600
    world.book.end(spec.run_id, "enough", 1.0)
    world.ended(spec)
    assert not file.exists()


def test_the_outputs_of_the_newest_runs_are_kept(world: World) -> None:
    specs = [world.start("says", "here") for _ in range(25)]
    for spec in specs:
        world.ended(spec)
    until(lambda: world.book.held() == set(), "all ends were taken")
    until(lambda: len(list((world.settings.run_dir / "runs").iterdir())) == 20, "twenty stay")


def test_closing_ends_every_run_and_tells_of_it(world: World) -> None:
    specs = [world.start("escapes") for _ in range(3)]
    for spec in specs:
        world.told(spec, "proved")
    world.book.close(0.1)
    for spec in specs:
        assert world.ended(spec)[1:] == ("killed", "its host's worker stops")
    with pytest.raises(Unavailable, match="stops"):
        world.book.start(world.spec())


def test_an_end_asked_for_while_it_starts_is_not_lost(world: World) -> None:
    for _ in range(5):
        spec = world.start("ignores")
        world.book.end(spec.run_id, "changed our mind", 0.0)
        status, result, why = world.ended(spec)
        assert (result, why) == ("killed", "changed our mind")
        assert status is not None, "its shim had to be killed, for it did not hear of it"


def test_runs_end_by_themselves_while_others_are_started(world: World) -> None:
    world.preset("quits", "{run_id}", "0")
    specs = [world.spec() for _ in range(24)]
    threads = [threading.Thread(target=world.book.start, args=(spec,)) for spec in specs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for spec in specs:
        assert world.ended(spec) == (0, "exited", "it ended by itself")


def test_a_shim_does_not_hold_the_line_of_another_run(world: World) -> None:
    """Or the end of the worker would be seen by nobody: each line has exactly two ends."""
    specs = [world.start("ignores") for _ in range(3)]
    shims = [world.told(spec, "started")["shim_pid"] for spec in specs]
    for pid in shims:
        assert sum(link.startswith("socket:") for link in open_in(pid)) == 1
    for spec in specs:
        pid = world.told(spec, "started")["pid"]
        assert not any(link.startswith("socket:") for link in open_in(pid))
        os.kill(pid, signal.SIGKILL)


def test_the_shim_loads_nothing_of_ours_but_its_siblings() -> None:
    code = START.replace("main(int(sys.argv[2]))", "print(*sys.modules)")
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, PACKAGES, "1"], check=True, capture_output=True, text=True
    ).stdout.split()
    siblings = {"descent", "shim", "shim_agent", "shim_proof"}
    ours = {name for name in found if name.startswith("bridge.adapters.runtimes.")}
    assert ours == {f"bridge.adapters.runtimes.{name}" for name in siblings}
    top = {name.partition(".")[0] for name in found}
    assert top <= sys.stdlib_module_names | {"bridge", "__main__", "__mp_main__"}
    assert not top & {"subprocess", "asyncio", "logging", "typing_extensions", "pydantic"}


def test_tidying_after_one_run_leaves_the_next_alone_that_begins_just_then(world: World) -> None:
    files = RunFiles(world.settings)
    files.make(over := files.place("run_over"), "token")
    beginning = files.place("run_beginning")

    def held() -> set[str]:
        files.make(beginning, "token")  # it was not held yet when this was asked, and is there a moment later
        return set()

    files.tidy(held)
    assert not over.folder.exists()
    assert beginning.token.exists()


def test_a_shim_that_cannot_be_started_leaves_no_descriptor(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def refused(path: str | Path, *args: int) -> int:
        if str(path).endswith("shim.log"):
            raise FileNotFoundError(path)
        return opened(path, *args)

    monkeypatch.setattr(os, "open", refused)
    descriptors = []
    for _ in range(5):  # the first has the book opened
        with pytest.raises(Unavailable):
            world.start("says", "here")
        descriptors.append(len(list(Path("/proc/self/fd").iterdir())))
    assert descriptors[-1] == descriptors[0]
