"""An agent finds this bridge under its name, and finds everything else where it was."""

from pathlib import Path

from bridge.cli.path import with_bridge


def program(folder: Path) -> Path:
    folder.mkdir(parents=True)
    path = folder / "bridge"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_another_program_of_the_name_comes_second(tmp_path: Path) -> None:
    ours, other = program(tmp_path / "venv"), program(tmp_path / "sbin")
    path = with_bridge(str(other.parent), tmp_path / "run", ours)
    first, second = path.split(":")
    assert (Path(first) / "bridge").resolve() == ours
    assert [found.name for found in Path(first).iterdir()] == ["bridge"]
    assert second == str(other.parent)
    assert with_bridge(str(other.parent), tmp_path / "run", ours) == path


def test_a_link_to_an_older_place_is_renewed(tmp_path: Path) -> None:
    program(tmp_path / "old")
    with_bridge("/nowhere", tmp_path / "run", tmp_path / "old" / "bridge")
    ours = program(tmp_path / "new")
    path = with_bridge("/nowhere", tmp_path / "run", ours)
    assert (Path(path.split(":")[0]) / "bridge").resolve() == ours


def test_a_path_that_leads_here_stays_as_it_is(tmp_path: Path) -> None:
    ours = program(tmp_path / "venv")
    assert with_bridge(f"/usr/bin:{ours.parent}", tmp_path / "run", ours) == f"/usr/bin:{ours.parent}"
